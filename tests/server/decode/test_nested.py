from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.nested import NESTED_MAX
from palomar_server.table import Flag, Protocol
from palomar_server.testing import drop_payload, packet, trace_payload, transport
from tests.server.decode.builders import (
    FRAME,
    OUTER,
    V4,
    V6,
    decode,
    geneve,
    of_ours,
    of_packet,
    one,
    tunnelled,
    udp,
    vxlan,
)

if TYPE_CHECKING:
    from collections.abc import Callable

VXLAN, GENEVE = int(flow_pb2.Tunnel.VXLAN), int(flow_pb2.Tunnel.GENEVE)
IN_IP = {V4: 4, V6: 41}
TRANSPORT = Flag.ETHERNET | Flag.IP | Flag.L4 | Flag.PACKET
BESIDE = {"alone": (), "plain": (packet(*V4), packet(*V6, Protocol.UDP))}
beside_others = pytest.mark.parametrize("beside", BESIDE.values(), ids=BESIDE)


def ends(row: Any, prefix: str = "") -> list[tuple[int, int]]:
    return [
        (int(row[f"{prefix}{side}_hi"]), int(row[f"{prefix}{side}_lo"]))
        for side in ("source", "destination")
    ]


def in_tunnel(content: bytes, flags: int, *beside: bytes) -> Any:
    """The row of a packet whose message says that it is a tunnel's, or why it is malformed."""
    found = one(trace_payload(content, flags=flags), *map(trace_payload, beside))
    dropped = one(drop_payload(content, subtype=133, flags=flags), *map(trace_payload, beside))
    if isinstance(found, Malformed):
        assert dropped is found
    else:
        assert (ends(dropped), dropped["flags"]) == (ends(found), found["flags"])
    return found


@beside_others
@pytest.mark.parametrize("outer", [V4, V6])
@pytest.mark.parametrize("inner", [V4, V6])
def test_of_ip_in_ip_the_inner_header_counts(
    outer: tuple[str, str], inner: tuple[str, str], beside: tuple[bytes, ...]
) -> None:
    inside = packet(*inner, Protocol.UDP, transport(Protocol.UDP, 1, 2), ethernet=False)
    row = of_packet(packet(*outer, IN_IP[inner], inside), *beside)
    assert ends(row) == [parse_address(end) for end in inner]
    assert (row["ip_version"], row["protocol"]) == (1 if inner is V4 else 2, Protocol.UDP)
    assert (row["source_port"], row["destination_port"], row["flags"]) == (1, 2, TRANSPORT)
    assert row["source_mac"].any()


def test_the_older_protocol_number_of_ip_in_ip_is_known() -> None:
    row = of_packet(packet(*OUTER, 94, packet(*V4, ethernet=False)))
    assert ends(row) == [parse_address(end) for end in V4]


@beside_others
def test_an_inner_packet_that_is_broken_makes_the_event_malformed_but_not_ours(
    beside: tuple[bytes, ...],
) -> None:
    others = tuple(map(trace_payload, beside))
    content = packet(*OUTER, 4, packet(*V4, ethernet=False)[:12])
    assert of_packet(content, *beside) is Malformed.IPV4_TOO_SHORT
    row = one(of_ours(trace_payload(content), 32), *others)
    # The packet outside is all there is to tell.
    assert ends(row) == [parse_address(end) for end in OUTER]
    assert row["protocol"] == 4
    content = packet(*OUTER, 4, packet(*V4, ethernet=False)[:30])
    assert of_packet(content, *beside) is Malformed.TCP_TOO_SHORT
    row = one(of_ours(trace_payload(content), 32), *others)
    assert ends(row) == [parse_address(end) for end in V4]
    assert not row["flags"] & Flag.L4


def test_bridged_ethernet_is_followed() -> None:
    outer = FRAME[::-1] + b"\x65\x58"
    row = of_packet(outer + packet(*V4))
    assert row["flags"] == TRANSPORT
    assert bytes(row["source_mac"]) == packet(*V4)[6:12]
    assert of_packet(outer)["flags"] == Flag.ETHERNET | Flag.PACKET
    assert of_packet(outer + b"\0") is Malformed.ETHERNET_TOO_SHORT


@beside_others
@pytest.mark.parametrize(
    ("flags", "kind", "header"),
    [(4, VXLAN, vxlan), (8, GENEVE, geneve), (12, VXLAN, vxlan)],
)
@pytest.mark.parametrize("inner", [V4, V6])
def test_of_tunnels_the_inner_packet_is_the_flow(
    flags: int,
    kind: int,
    header: Callable[[bytes, int], bytes],
    inner: tuple[str, str],
    beside: tuple[bytes, ...],
) -> None:
    content = tunnelled(header(packet(*inner), 99))
    row = in_tunnel(content, flags, *beside)
    assert ends(row) == [parse_address(end) for end in inner]
    assert ends(row, "tunnel_") == [parse_address(end) for end in OUTER]
    values = [row[f"tunnel_{name}"] for name in ("protocol", "vni", "ip_version")]
    assert values == [kind, 99, 1]
    ports = [row[name] for name in ("tunnel_source_port", "tunnel_destination_port")]
    assert ports == [50_000, 8472]
    assert (row["flags"], row["source_port"]) == (TRANSPORT, 40_000)


@beside_others
def test_a_tunnel_with_nothing_inside_is_a_tunnel(beside: tuple[bytes, ...]) -> None:
    row = one(trace_payload(tunnelled(vxlan(b"")), flags=4), *map(trace_payload, beside))
    assert (row["tunnel_protocol"], row["tunnel_vni"], row["flags"]) == (VXLAN, 77, Flag.PACKET)
    assert (row["source_lo"], row["protocol"], row["ip_version"]) == (0, 0, 0)
    row = one(trace_payload(tunnelled(geneve(b"mpls", ethertype=0x8847)), flags=8))
    assert (row["tunnel_protocol"], row["flags"]) == (GENEVE, Flag.PACKET)
    row = one(trace_payload(tunnelled(vxlan(FRAME + b"\x08\x06" + bytes(28))), flags=4))
    assert row["flags"] == Flag.ETHERNET | Flag.PACKET


def test_geneve_may_carry_ip_without_a_frame() -> None:
    content = tunnelled(geneve(packet(*V4, ethernet=False), ethertype=0x0800))
    row = one(trace_payload(content, flags=8))
    assert (row["flags"], ends(row)[0]) == (TRANSPORT & ~Flag.ETHERNET, parse_address(V4[0]))
    assert not row["source_mac"].any()


@beside_others
@pytest.mark.parametrize(
    ("content", "flags", "fault"),
    [
        (tunnelled(b""), 4, Malformed.TUNNEL_TOO_SHORT),
        (tunnelled(vxlan(b"")[:7]), 4, Malformed.TUNNEL_TOO_SHORT),
        (packet(*V4), 4, Malformed.TUNNEL_TOO_SHORT),
        (FRAME + b"\x08\x06", 4, Malformed.TUNNEL_TOO_SHORT),
        (tunnelled(vxlan(FRAME[:5])), 4, Malformed.ETHERNET_TOO_SHORT),
        (tunnelled(vxlan(packet(*V4)[:20])), 4, Malformed.IPV4_TOO_SHORT),
        (tunnelled(vxlan(packet(*V4)[:44])), 4, Malformed.TCP_TOO_SHORT),
        (tunnelled(geneve(b"", options=b"\0\0\0\3")), 8, Malformed.GENEVE_OPTION),
    ],
)
def test_broken_tunnels_are_malformed_but_not_ours(
    content: bytes, flags: int, fault: Malformed, beside: tuple[bytes, ...]
) -> None:
    assert in_tunnel(content, flags, *beside) is fault
    spared = one(of_ours(trace_payload(content, flags=flags), 32), *map(trace_payload, beside))
    assert spared["flags"] & Flag.ETHERNET


def test_without_a_packet_there_is_no_tunnel() -> None:
    row = one(trace_payload(b"", flags=4))
    assert (row["flags"], row["tunnel_protocol"]) == (0, 0)


def test_without_the_flag_a_tunnel_is_udp() -> None:
    content = packet(*OUTER, 17, udp(vxlan(packet(*V4)), destination_port=4789))
    row = of_packet(content)
    assert (row["destination_port"], row["tunnel_protocol"]) == (4789, 0)


def test_a_tunnel_may_be_inside_of_ip_in_ip() -> None:
    content = packet(*V6, 4, tunnelled(vxlan(packet(*V4)))[14:])
    row = one(trace_payload(content, flags=4))
    assert ends(row) == [parse_address(end) for end in V4]
    assert ends(row, "tunnel_") == [parse_address(end) for end in OUTER]


@pytest.mark.parametrize(
    ("source_port", "port", "entered"),
    [(1, 4789, True), (4789, 1, True), (4789, 53, False), (1, 8472, False)],
)
def test_inside_of_tunnels_ports_tell_of_more(
    source_port: int, port: int, *, entered: bool
) -> None:
    middle = packet(*V6, 17, udp(vxlan(packet(*V4), 5), source_port, port))
    row = one(trace_payload(tunnelled(vxlan(middle)), flags=4))
    assert ends(row) == [parse_address(end) for end in (V4 if entered else V6)]
    assert row["tunnel_vni"] == (5 if entered else 77)
    # The outermost packet is the tunnel.
    assert ends(row, "tunnel_") == [parse_address(end) for end in OUTER]


def test_tunnels_of_two_kinds_keep_the_network_of_the_outer() -> None:
    middle = packet(*V6, 17, udp(geneve(packet(*V4), 5), destination_port=6081))
    row = one(trace_payload(tunnelled(vxlan(middle)), flags=4))
    assert (row["tunnel_protocol"], row["tunnel_vni"]) == (VXLAN, 77)


def test_a_packet_of_headers_alone_does_not_keep_us_busy() -> None:
    header = struct.pack(">BBHHHBBH", 0x45, 0, 0, 0, 0, 64, 4, 0) + bytes(8)
    payloads = [trace_payload(FRAME + b"\x08\0" + header * count) for count in (16, 17, 18, 3000)]
    decoded = decode(*payloads)
    assert decoded.malformed == {(4, Malformed.NESTED_TOO_DEEP): 2}
    assert NESTED_MAX == 16
    spared = one(of_ours(payloads[-1], 32))
    assert spared["flags"] == Flag.ETHERNET | Flag.IP | Flag.PACKET
