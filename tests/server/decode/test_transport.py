from __future__ import annotations

import struct

import pytest

from palomar_server.decode.malformed import Malformed
from palomar_server.table import Flag, Protocol
from palomar_server.testing import packet, trace_payload, transport
from tests.server.decode.builders import V4, V6, of_ours, of_packet, one

BESIDE = {
    "alone": (),
    "tcp": (packet(*V4),),
    "sctp": (packet(*V4, Protocol.SCTP),),
    "icmp": (packet(*V4, Protocol.ICMP), packet(*V6)),
}
beside_others = pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)


def with_options(options: bytes) -> bytes:
    """A TCP header with these options."""
    header = transport()
    return header[:12] + bytes([5 + len(options) // 4 << 4]) + header[13:] + options


@beside_others
@pytest.mark.parametrize(
    "options",
    [
        b"\2\4\5\xb4\4\2\x08\x0a" + bytes(8) + b"\1\3\3\7",
        b"\1\1\x08\x0a" + bytes(8),
        b"\0\0\0\0",
        b"\1\1\1\1" * 10,
    ],
)
def test_sound_tcp_options_are_stepped_over(options: bytes, beside: tuple[bytes, ...]) -> None:
    row = of_packet(packet(*V4, body=with_options(options)), *beside)
    assert (row["source_port"], row["tcp_flags"]) == (40_000, 2)


@beside_others
@pytest.mark.parametrize(
    "options",
    [
        b"\2\x09\0\0",
        b"\2\0\0\0",
        b"\2\1\0\0",
        b"\1\1\1\x08",
        # Begins as most do, but is longer or shorter.
        b"\1\1\x08\x0a" + bytes(8) + b"\2\1\0\0",
        b"\1\1\x08\x0a",
    ],
)
def test_broken_tcp_options_are_malformed_but_not_ours(
    options: bytes, beside: tuple[bytes, ...]
) -> None:
    content = packet(*V4, body=with_options(options))
    assert of_packet(content, *beside) is Malformed.TCP_OPTION
    row = one(of_ours(trace_payload(content), 32), *map(trace_payload, beside))
    assert row["flags"] & Flag.L4


@beside_others
@pytest.mark.parametrize("words", [0, 4, 6, 15])
def test_data_offsets_that_do_not_fit_are_malformed(words: int, beside: tuple[bytes, ...]) -> None:
    body = bytearray(transport())
    body[12] = words << 4
    assert of_packet(packet(*V4, body=bytes(body)), *beside) is Malformed.TCP_DATA_OFFSET


@beside_others
def test_what_is_no_tcp_has_no_data_offset(beside: tuple[bytes, ...]) -> None:
    # Where TCP has its data offset SCTP has its first chunk, which may be any.
    content = packet(*V4, Protocol.SCTP, transport(Protocol.SCTP) + b"\x0f\0\0\4")
    row = of_packet(content, *beside)
    assert (row["source_port"], row["tcp_flags"]) == (40_000, 0)


@beside_others
@pytest.mark.parametrize(("length", "sound"), [(0, True), (7, False), (8, True), (9999, True)])
def test_udp_lengths_below_the_header_are_malformed(
    length: int, *, sound: bool, beside: tuple[bytes, ...]
) -> None:
    body = struct.pack(">HHHH", 1, 2, length, 0)
    found = of_packet(packet(*V4, Protocol.UDP, body), *beside)
    if sound:
        assert found["destination_port"] == 2
    else:
        assert found is Malformed.UDP_LENGTH


@beside_others
@pytest.mark.parametrize("ends", [V4, V6])
def test_igmp_has_a_type_and_a_group(ends: tuple[str, str], beside: tuple[bytes, ...]) -> None:
    row = of_packet(packet(*ends, Protocol.IGMP, bytes.fromhex("16640000ef010203")), *beside)
    assert (row["icmp_type"], row["igmp_group"]) == (0x16, 0xEF010203)
    assert (row["source_port"], row["destination_port"], row["icmp_code"]) == (0, 0, 0)
    assert row["flags"] & Flag.L4
    short = packet(*ends, Protocol.IGMP, bytes(7))
    assert of_packet(short, *beside) is Malformed.IGMP_TOO_SHORT


@beside_others
@pytest.mark.parametrize("version", [2, 3])
def test_vrrp_has_type_router_and_priority(version: int, beside: tuple[bytes, ...]) -> None:
    content = bytes([version << 4 | 1, 51, 100, 2, 0, 1, 0, 0]) + bytes(8)
    row = of_packet(packet(*V4, Protocol.VRRP, content), *beside)
    assert (row["icmp_type"], row["vrrp_vrid"], row["vrrp_priority"]) == (1, 51, 100)
    assert (row["source_port"], row["destination_port"], row["icmp_code"]) == (0, 0, 0)


@beside_others
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("2133640100", Malformed.VRRP_TOO_SHORT),
        ("21336401000100", Malformed.VRRP_TOO_SHORT),
        ("2133640100010000c0a801", Malformed.VRRP_TOO_SHORT),
        ("2133640200010000c0a80164", Malformed.VRRP_TOO_SHORT),
        ("2233640100010000c0a80164", Malformed.VRRP_TYPE),
        ("2133640000010000c0a80164", Malformed.VRRP_ADDRESSES),
    ],
)
def test_vrrp_that_lies_is_malformed(
    content: str, fault: Malformed, beside: tuple[bytes, ...]
) -> None:
    found = of_packet(packet(*V4, Protocol.VRRP, bytes.fromhex(content)), *beside)
    assert found is fault


def test_protocols_may_stand_in_the_other_family() -> None:
    row = of_packet(packet(*V4, Protocol.ICMPV6, bytes.fromhex("80000000")))
    assert (row["protocol"], row["icmp_type"]) == (Protocol.ICMPV6, 128)
    row = of_packet(packet(*V6, Protocol.ICMP))
    assert (row["protocol"], row["icmp_type"]) == (Protocol.ICMP, 8)
