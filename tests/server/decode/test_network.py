from __future__ import annotations

import struct

import pytest

from palomar_server.decode.malformed import Malformed
from palomar_server.table import Flag, Protocol
from palomar_server.testing import packet, trace_payload, transport
from tests.server.decode.builders import V4, V6, of_ours, of_packet, one

ETHERNET = 14
NETWORK = Flag.ETHERNET | Flag.IP | Flag.PACKET
BESIDE = {"alone": (), "v4": (packet(*V4),), "v6": (packet(*V6),)}
beside_others = pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)


def with_options(options: bytes, ends: tuple[str, str] = V4) -> bytes:
    """An IPv4 packet with these options and a TCP header."""
    content = packet(*ends, body=options + transport())
    words = 5 + len(options) // 4
    return content[:ETHERNET] + bytes([0x40 | words]) + content[ETHERNET + 1 :]


def with_bytes(content: bytes, at: int, value: bytes) -> bytes:
    at += ETHERNET
    return content[:at] + value + content[at + len(value) :]


def hop_by_hop(following: int, options: bytes = b"\1\4\0\0\0\0") -> bytes:
    return bytes([following, (len(options) + 2) // 8 - 1]) + options


@beside_others
@pytest.mark.parametrize("options", [b"\1\1\1\1", b"\0\xff\xff\xff", b"\7\7\4\0\0\0\0\1"])
def test_options_of_ipv4_are_stepped_over(options: bytes, beside: tuple[bytes, ...]) -> None:
    assert of_packet(with_options(options), *beside)["destination_port"] == 80


@beside_others
@pytest.mark.parametrize("options", [b"\1\1\1\x88", b"\x88\x09\0\7", b"\x88\2\1\1", b"\x88\0\1\1"])
def test_broken_options_of_ipv4_are_malformed_but_not_ours(
    options: bytes, beside: tuple[bytes, ...]
) -> None:
    content = with_options(options)
    assert of_packet(content, *beside) is Malformed.IPV4_OPTION
    row = one(of_ours(trace_payload(content), 32), *map(trace_payload, beside))
    assert row["destination_port"] == 80


@beside_others
@pytest.mark.parametrize(
    ("fragment", "foreign", "ours"),
    [
        (0, True, True),
        (0x4000, True, True),
        (0x8000, True, True),
        (0x2000, False, True),
        (1, False, False),
        (0x20B9, False, False),
    ],
)
def test_fragments_have_no_transport_header_but_the_first_of_ours(
    fragment: int, *, foreign: bool, ours: bool, beside: tuple[bytes, ...]
) -> None:
    content = with_bytes(packet(*V4), 6, struct.pack(">H", fragment))
    row = of_packet(content, *beside)
    assert bool(row["flags"] & Flag.L4) == foreign
    assert row["protocol"] == Protocol.TCP
    row = one(of_ours(trace_payload(content), 32), *map(trace_payload, beside))
    assert bool(row["flags"] & Flag.L4) == ours


@beside_others
@pytest.mark.parametrize(
    ("words", "length", "fault"),
    [
        (4, 40, Malformed.IPV4_HEADER_LENGTH),
        (0, 40, Malformed.IPV4_HEADER_LENGTH),
        (15, 1000, Malformed.IPV4_HEADER_LENGTH),
        (15, 20, Malformed.IPV4_TOTAL_LENGTH),
        (5, 19, Malformed.IPV4_TOTAL_LENGTH),
        (5, 39, Malformed.TCP_TOO_SHORT),
    ],
)
def test_lengths_that_lie_are_malformed(
    words: int, length: int, fault: Malformed, beside: tuple[bytes, ...]
) -> None:
    content = with_bytes(packet(*V4), 2, struct.pack(">H", length))
    assert of_packet(with_bytes(content, 0, bytes([0x40 | words])), *beside) is fault


def test_the_version_is_the_one_of_the_layer_before() -> None:
    assert of_packet(with_bytes(packet(*V4), 0, b"\x65"))["ip_version"] == 1
    assert of_packet(with_bytes(packet(*V6), 0, b"\x40"))["ip_version"] == 2


@beside_others
def test_hop_by_hop_options_are_stepped_over(beside: tuple[bytes, ...]) -> None:
    for header in (hop_by_hop(17), hop_by_hop(17, b"\1\14" + bytes(12))):
        row = of_packet(packet(*V6, 0, header + transport(17, 1, 2)), *beside)
        assert (row["protocol"], row["source_port"], row["destination_port"]) == (17, 1, 2)


@pytest.mark.parametrize("following", [0, 43, 44, 51, 60])
def test_other_extension_headers_end_the_packet(following: int) -> None:
    row = of_packet(packet(*V6, 0, hop_by_hop(following) + bytes(40)))
    assert (row["flags"], row["protocol"]) == (NETWORK, following)


@beside_others
@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (b"\6", Malformed.IPV6_EXTENSION_TOO_SHORT),
        (b"\6\0\1\4", Malformed.IPV6_EXTENSION_TOO_SHORT),
        (hop_by_hop(6, b"\1\50\0\0\0\0"), Malformed.IPV6_OPTION),
        (hop_by_hop(6, b"\xc2\4\0\1\0\0"), Malformed.IPV6_PAYLOAD_LENGTH),
        (hop_by_hop(6, b"\xc2\4\0\0\0\x09"), Malformed.IPV6_JUMBO_LENGTH),
    ],
)
def test_broken_hop_by_hop_options_are_malformed(
    header: bytes, fault: Malformed, beside: tuple[bytes, ...]
) -> None:
    body = header if len(header) < 8 else header + transport()
    assert of_packet(packet(*V6, 0, body), *beside) is fault


def test_a_hop_by_hop_header_of_ours_need_not_be_sound() -> None:
    broken = packet(*V6, 0, hop_by_hop(6, b"\1\50\0\0\0\0") + transport())
    assert one(of_ours(trace_payload(broken), 32))["destination_port"] == 80
    # Of one that is cut not even the next header is told: what follows is another payload.
    cut = of_ours(trace_payload(packet(*V6, 0, b"")), 32)
    row = one(cut, trace_payload(packet(*V4)))
    assert (row["flags"], row["protocol"]) == (NETWORK, 0)


@beside_others
def test_a_payload_length_of_zero_is_for_jumbograms_but_with_ours(
    beside: tuple[bytes, ...],
) -> None:
    content = with_bytes(packet(*V6), 4, b"\0\0")
    assert of_packet(content, *beside) is Malformed.IPV6_PAYLOAD_LENGTH
    row = one(of_ours(trace_payload(content), 32), *map(trace_payload, beside))
    assert row["destination_port"] == 80
    chain = with_bytes(packet(*V6, 0, hop_by_hop(6) + transport()), 4, b"\0\0")
    assert of_packet(chain, *beside) is Malformed.IPV6_PAYLOAD_LENGTH
    assert one(of_ours(trace_payload(chain), 32))["destination_port"] == 80


def test_a_jumbogram_goes_on_where_hubble_does_but_with_ours() -> None:
    header = hop_by_hop(17, b"\xc2\4\0\x0a\0\0")
    content = with_bytes(packet(*V6, 0, header + transport(17, 1, 2)), 4, b"\0\0")
    # There the options are taken for the transport header.
    row = of_packet(content)
    assert (row["source_port"], row["destination_port"]) == (0x1100, 0xC204)
    assert one(of_ours(trace_payload(content), 32))["destination_port"] == 2
