from __future__ import annotations

import ipaddress
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_server.address import format_address
from palomar_server.decode.decoder import Decoder
from palomar_server.decode.malformed import Malformed
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.table import Flag, Protocol
from palomar_server.testing import (
    ACK,
    SYN,
    batch_of,
    drop_payload,
    packet,
    trace_payload,
    transport,
)

V4 = ("192.0.2.1", "192.0.2.2")
V6 = ("2001:db8::1", "2001:db8::2")
ETHERNET, IP4, IP6 = 14, 20, 40
HEADERS = {
    Protocol.TCP: (20, Malformed.TCP_TOO_SHORT),
    Protocol.UDP: (8, Malformed.UDP_TOO_SHORT),
    Protocol.SCTP: (12, Malformed.SCTP_TOO_SHORT),
    Protocol.ICMP: (8, Malformed.ICMP_TOO_SHORT),
    Protocol.ICMPV6: (4, Malformed.ICMP_TOO_SHORT),
}
DECODER = Decoder(Surroundings(EndpointTable()))


def one(content: bytes, beside: bytes | None = None) -> Any:
    """The row of a packet, or why it is malformed; `beside` is in the same batch."""
    contents = [content] if beside is None else [content, beside]
    decoded = DECODER.decode(batch_of([trace_payload(one) for one in contents]))
    if len(decoded.rows) == len(contents):
        return decoded.rows[0]
    [(_, reason)] = decoded.malformed
    return reason


def with_total_length(content: bytes, length: int) -> bytes:
    return content[: ETHERNET + 2] + struct.pack(">H", length) + content[ETHERNET + 4 :]


def with_payload_length(content: bytes, length: int) -> bytes:
    return content[: ETHERNET + 4] + struct.pack(">H", length) + content[ETHERNET + 6 :]


PORTS = st.integers(0, 65_535)


@given(
    st.one_of(st.tuples(*[st.ip_addresses(v=4)] * 2), st.tuples(*[st.ip_addresses(v=6)] * 2)),
    st.sampled_from(list(Protocol)),
    PORTS,
    PORTS,
    st.integers(0, 0x1FF),
    st.integers(0, 255),
    st.binary(max_size=20),
    st.booleans(),
)
def test_what_was_built_is_what_is_decoded(
    ends: tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, ...],
    protocol: Protocol,
    source_port: int,
    destination_port: int,
    flags: int,
    icmp: int,
    payload: bytes,
    mixed: bool,  # noqa: FBT001 - hypothesis calls by position
) -> None:
    source, destination = map(str, ends)
    body = transport(
        protocol,
        source_port,
        destination_port,
        tcp_flags=flags,
        icmp_type=icmp,
        icmp_code=255 - icmp,
    )
    content = packet(source, destination, protocol, body + payload)
    row = one(content, packet(*(V6 if ends[0].version == 4 else V4)) if mixed else None)
    version = 1 if ends[0].version == 4 else 2
    assert row["flags"] == Flag.ETHERNET | Flag.IP | Flag.L4 | Flag.PACKET
    assert (row["ip_version"], row["protocol"]) == (version, protocol)
    texts = [
        format_address(int(row[f"{side}_hi"]), int(row[f"{side}_lo"]), version)
        for side in ("source", "destination")
    ]
    assert [ipaddress.ip_address(text) for text in texts] == list(ends)
    is_icmp = protocol in (Protocol.ICMP, Protocol.ICMPV6)
    ports = (0, 0) if is_icmp else (source_port, destination_port)
    assert (row["source_port"], row["destination_port"]) == ports
    assert row["tcp_flags"] == (flags if protocol == Protocol.TCP else 0)
    assert (row["icmp_type"], row["icmp_code"]) == ((icmp, 255 - icmp) if is_icmp else (0, 0))


def test_mac_addresses_and_ethertype_are_kept() -> None:
    row = one(bytes.fromhex("0102030405060a0b0c0d0e0f0806") + bytes(28))
    assert bytes(row["destination_mac"]) == bytes([1, 2, 3, 4, 5, 6])
    assert bytes(row["source_mac"]) == bytes([10, 11, 12, 13, 14, 15])
    assert row["ethertype"] == 0x0806
    assert row["flags"] == Flag.ETHERNET | Flag.PACKET


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("ends", [V4, V6])
def test_a_packet_cut_anywhere_is_decoded_up_to_a_layer_or_malformed(
    ends: tuple[str, str], protocol: Protocol, *, mixed: bool
) -> None:
    ip, too_short = (
        (IP4, Malformed.IPV4_TOO_SHORT) if ends is V4 else (IP6, Malformed.IPV6_TOO_SHORT)
    )
    if ends is V4:
        # A header that is there, but not whole, is found out by its length first.
        shorter = {Malformed.IPV4_TOO_SHORT, Malformed.IPV4_HEADER_LENGTH}
    else:
        shorter = {too_short}
    needed, transport_too_short = HEADERS[protocol]
    content = packet(*ends, protocol)
    beside = packet(*(V6 if ends is V4 else V4)) if mixed else None
    for length in range(len(content) + 1):
        found = one(content[:length], beside)
        captured = length - ETHERNET - ip
        if length == 0:
            assert found["flags"] == 0
        elif length < ETHERNET:
            assert found is Malformed.ETHERNET_TOO_SHORT
        elif length == ETHERNET:
            assert found["flags"] == Flag.ETHERNET | Flag.PACKET
        elif captured < 0:
            assert found in shorter
        elif captured == 0:
            assert found["flags"] == Flag.ETHERNET | Flag.IP | Flag.PACKET
        elif captured < needed:
            assert found is transport_too_short
        else:
            assert found["flags"] & Flag.L4


@pytest.mark.parametrize("mixed", [False, True])
def test_the_total_length_bounds_the_transport_header(*, mixed: bool) -> None:
    content, beside = packet(*V4), packet(*V6) if mixed else None
    assert not one(with_total_length(content, 20), beside)["flags"] & Flag.L4
    assert one(with_total_length(content, 39), beside) is Malformed.TCP_TOO_SHORT
    for length in (40, 41, 65_535, 0):
        assert one(with_total_length(content, length), beside)["flags"] & Flag.L4


@pytest.mark.parametrize("mixed", [False, True])
def test_the_payload_length_bounds_the_transport_header(*, mixed: bool) -> None:
    content, beside = packet(*V6), packet(*V4) if mixed else None
    assert one(with_payload_length(content, 19), beside) is Malformed.TCP_TOO_SHORT
    for length in (20, 21, 65_535, 0):
        assert one(with_payload_length(content, length), beside)["flags"] & Flag.L4


def test_a_total_length_below_the_header_is_malformed() -> None:
    content = packet(*V4)
    assert one(with_total_length(content, 19)) is Malformed.IPV4_TOTAL_LENGTH
    longer = content[:ETHERNET] + b"\x46" + content[ETHERNET + 1 :]
    assert one(with_total_length(longer, 20)) is Malformed.IPV4_TOTAL_LENGTH


@pytest.mark.parametrize("words", [0, 4, 15])
def test_a_header_length_that_does_not_fit_is_malformed(words: int) -> None:
    content = packet(*V4, Protocol.UDP)
    content = content[:ETHERNET] + bytes([0x40 | words]) + content[ETHERNET + 1 :]
    assert one(content) is Malformed.IPV4_HEADER_LENGTH


def test_options_of_ipv4_are_skipped() -> None:
    content = packet(*V4, body=bytes(4) + transport())
    content = content[:ETHERNET] + b"\x46" + content[ETHERNET + 1 :]
    assert one(content)["destination_port"] == 80


@pytest.mark.parametrize(("fragment", "decoded"), [(0, True), (0x2000, True), (1, False)])
def test_later_fragments_have_no_transport_header(fragment: int, *, decoded: bool) -> None:
    content = packet(*V4)
    content = content[: ETHERNET + 6] + struct.pack(">H", fragment) + content[ETHERNET + 8 :]
    row = one(content)
    assert bool(row["flags"] & Flag.L4) == decoded
    assert row["protocol"] == Protocol.TCP
    assert row["source_port"] == (40_000 if decoded else 0)


def hop_by_hop(following: int, length: int = 0, size: int = 8) -> bytes:
    return bytes([following, length]).ljust(size, b"\0")


@pytest.mark.parametrize("headers", [1, 2, 4])
def test_hop_by_hop_headers_are_followed(headers: int) -> None:
    chain = hop_by_hop(0) * (headers - 1) + hop_by_hop(Protocol.UDP)
    row = one(packet(*V6, 0, chain + transport(Protocol.UDP, 1, 2)))
    assert (row["protocol"], row["source_port"], row["destination_port"]) == (Protocol.UDP, 1, 2)


def test_long_hop_by_hop_headers_are_followed() -> None:
    content = packet(*V6, 0, hop_by_hop(Protocol.UDP, 2, 24) + transport(Protocol.UDP, 1, 2))
    assert one(content)["destination_port"] == 2


def test_an_endless_chain_of_hop_by_hop_headers_is_left_alone() -> None:
    row = one(packet(*V6, 0, hop_by_hop(0) * 50))
    assert row["flags"] == Flag.ETHERNET | Flag.IP | Flag.PACKET


@pytest.mark.parametrize("length", [1, 255])
def test_a_hop_by_hop_header_beyond_the_packet_is_malformed(length: int) -> None:
    content = packet(*V6, 0, hop_by_hop(Protocol.UDP, length))
    assert one(content) is Malformed.IPV6_EXTENSION_TOO_SHORT


@pytest.mark.parametrize("size", range(8))
def test_a_hop_by_hop_header_cut_anywhere_is_malformed(size: int) -> None:
    content = packet(*V6, 0, hop_by_hop(Protocol.UDP)[:size])
    assert one(content, packet(*V6)) is Malformed.IPV6_EXTENSION_TOO_SHORT


@pytest.mark.parametrize("protocol", [2, 43, 44, 47, 50, 59, 112, 255])
def test_other_protocols_end_at_the_network_layer(protocol: int) -> None:
    for ends in (V4, V6):
        row = one(packet(*ends, protocol, bytes(32)))
        assert row["flags"] == Flag.ETHERNET | Flag.IP | Flag.PACKET
        assert row["protocol"] == protocol
        assert (row["source_port"], row["tcp_flags"], row["icmp_type"]) == (0, 0, 0)


@pytest.mark.parametrize("words", [0, 4, 6, 15])
def test_a_tcp_header_length_that_does_not_fit_is_malformed(words: int) -> None:
    body = bytearray(transport(tcp_flags=SYN | ACK))
    body[12] = words << 4
    for ends in (V4, V6):
        assert one(packet(*ends, body=bytes(body))) is Malformed.TCP_DATA_OFFSET


def test_all_nine_tcp_flags_are_kept_and_reserved_bits_are_not() -> None:
    body = transport(tcp_flags=0xFFF)
    assert one(packet(*V4, body=body))["tcp_flags"] == 0x1FF


@pytest.mark.parametrize(("length", "malformed"), [(0, False), (7, True), (8, False), (99, False)])
def test_a_udp_length_below_its_header_is_malformed(length: int, *, malformed: bool) -> None:
    content = packet(*V4, Protocol.UDP, struct.pack(">HHHH", 1, 2, length, 0))
    found = one(content, packet(*V4))
    if malformed:
        assert found is Malformed.UDP_LENGTH
    else:
        assert found["destination_port"] == 2


def test_ethertypes_that_are_not_decoded_end_at_the_link_layer() -> None:
    content = packet(*V4)
    row = one(content[:12] + b"\x81\x00\x00\x05" + content[12:])
    assert row["flags"] == Flag.ETHERNET | Flag.PACKET
    assert row["ip_version"] == flow_pb2.IP_NOT_USED


OURS: dict[str, int | bytes] = {"time_ns": 1}


@pytest.mark.parametrize(
    ("body", "l4"),
    [
        (transport(Protocol.TCP)[:10], 0),
        (transport(Protocol.TCP)[:12] + b"\x30\x02" + transport(Protocol.TCP)[14:], Flag.L4),
    ],
    ids=["cut", "data-offset-3"],
)
def test_a_damaged_packet_that_the_kernel_dropped_is_still_a_flow(body: bytes, l4: int) -> None:
    damaged = packet("10.0.0.1", "10.0.0.2", Protocol.TCP, body)
    decoded = DECODER.decode(
        batch_of([drop_payload(damaged, extension=OURS), drop_payload(damaged, subtype=133)])
    )
    # Without palomar's extension it is Cilium's, and treated as Hubble does.
    assert decoded.malformed.total() == 1
    [row] = decoded.rows
    assert row["flags"] & Flag.IP
    assert row["flags"] & Flag.L4 == l4
    assert row["protocol"] == Protocol.TCP


def test_a_header_beyond_the_capture_is_no_fault_of_the_packet() -> None:
    whole = packet("2001:db8::1", "2001:db8::2", Protocol.TCP)
    decoded = DECODER.decode(batch_of([trace_payload(whole[:64], extension=OURS)]))
    [row] = decoded.rows
    assert decoded.malformed.total() == 0
    assert row["flags"] & Flag.IP
    assert not row["flags"] & Flag.L4


def test_addresses_beyond_the_capture_are_not_made_up() -> None:
    whole = packet("10.0.0.1", "10.0.0.2", Protocol.TCP)
    behind = packet("10.0.0.3", "10.0.0.4", Protocol.TCP)
    decoded = DECODER.decode(
        batch_of([drop_payload(whole[:20], extension=OURS), drop_payload(behind, extension=OURS)])
    )
    first = decoded.rows[0]
    assert not first["flags"] & Flag.IP
    assert (first["source_lo"], first["ip_version"], first["protocol"]) == (0, 0, 0)
