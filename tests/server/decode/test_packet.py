from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.decode.decoder import Decoder
from palomar_server.decode.malformed import Malformed
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.table import Flag, Protocol
from palomar_server.testing import (
    batch_of,
    drop_payload,
    packet,
    trace_payload,
    transport,
)

if TYPE_CHECKING:
    import ipaddress

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
    st.sampled_from(list(HEADERS)),
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
    found = [(row[f"{side}_hi"], row[f"{side}_lo"]) for side in ("source", "destination")]
    assert found == [parse_address(end) for end in (source, destination)]
    is_icmp = protocol in (Protocol.ICMP, Protocol.ICMPV6)
    ports = (0, 0) if is_icmp else (source_port, destination_port)
    assert (row["source_port"], row["destination_port"]) == ports
    assert row["tcp_flags"] == (flags if protocol == Protocol.TCP else 0)
    assert (row["icmp_type"], row["icmp_code"]) == ((icmp, 255 - icmp) if is_icmp else (0, 0))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("protocol", HEADERS)
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
    for length in (20, 21, 65_535):
        assert one(with_payload_length(content, length), beside)["flags"] & Flag.L4


@pytest.mark.parametrize("protocol", [3, 43, 44, 47, 50, 59, 97, 255])
def test_other_protocols_end_at_the_network_layer(protocol: int) -> None:
    for ends in (V4, V6):
        row = one(packet(*ends, protocol, bytes(32)))
        assert row["flags"] == Flag.ETHERNET | Flag.IP | Flag.PACKET
        assert row["protocol"] == protocol
        assert (row["source_port"], row["tcp_flags"], row["icmp_type"]) == (0, 0, 0)


def test_all_nine_tcp_flags_are_kept_and_reserved_bits_are_not() -> None:
    body = transport(tcp_flags=0xFFF)
    assert one(packet(*V4, body=body))["tcp_flags"] == 0x1FF


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
