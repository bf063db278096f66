from __future__ import annotations

import pytest

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.flow_message import fields_of
from palomar_server.flow_transport import header_summary, set_header
from palomar_server.table import Flag, Protocol
from palomar_server.testing import flow_rows


def made(**columns: object) -> tuple[flow_pb2.Flow, str]:
    """The flow of a row with its header only, and the header in words."""
    flow = flow_pb2.Flow()
    [row] = flow_rows(1, **columns)
    fields = fields_of(row)
    set_header(flow, fields)
    assert not flow.Summary
    return flow, header_summary(fields)


def test_igmp_has_type_and_group() -> None:
    flow, summary = made(protocol=Protocol.IGMP, icmp_type=0x16, igmp_group=0xEF010203)
    igmp = flow_pb2.IGMP(type=0x16, group_address="239.1.2.3")
    assert flow.l4 == flow_pb2.Layer4(IGMP=igmp)
    assert summary == "IGMP IGMPv2 Membership Report"


def test_vrrp_has_router_and_priority() -> None:
    flow, summary = made(protocol=Protocol.VRRP, icmp_type=1, vrrp_vrid=51, vrrp_priority=100)
    vrrp = flow_pb2.VRRP(type=1, vrid=51, priority=100)
    assert flow.l4 == flow_pb2.Layer4(VRRP=vrrp)
    assert summary == "VRRP VRRPv2 Advertisement"


def test_a_header_of_zeros_is_a_header() -> None:
    flow, _ = made(protocol=Protocol.SCTP)
    assert flow.l4.WhichOneof("protocol") == "SCTP"
    flow, summary = made(protocol=Protocol.TCP)
    assert flow.l4.TCP.HasField("flags")
    assert summary == "TCP Flags: "


@pytest.mark.parametrize(
    ("protocol", "flags", "summary"),
    [
        (Protocol.TCP, Flag.IP | Flag.L4, "TCP"),
        (Protocol.UDP, Flag.IP | Flag.L4, "UDP"),
        (0, Flag.IP, "Unknown"),
    ],
)
def test_a_socket_event_has_ports_and_no_more(protocol: int, flags: int, summary: str) -> None:
    flow, told = made(
        event_type=MessageType.TRACE_SOCK, protocol=protocol, flags=flags, destination_port=80
    )
    assert told == summary
    assert flow.HasField("l4") == (summary != "Unknown")
    assert not flow.l4.TCP.HasField("flags")
    assert flow.l4.TCP.destination_port + flow.l4.UDP.destination_port == 80 * bool(protocol)


@pytest.mark.parametrize(
    ("columns", "summary"),
    [
        ({"flags": Flag.IP, "ip_version": flow_pb2.IPv4}, "IPv4"),
        ({"flags": Flag.IP | Flag.ETHERNET, "ip_version": flow_pb2.IPv6}, "IPv6"),
        ({"flags": Flag.ETHERNET}, "Ethernet"),
        ({"flags": 0}, ""),
        ({"protocol": 47}, "IPv4"),
        (
            {
                "flags": Flag.IP | Flag.L4 | Flag.MTU,
                "protocol": Protocol.ICMPV6,
                "icmp_type": 2,
                "icmp_mtu": 1_400,
            },
            "ICMPv6 PacketTooBig, MTU 1400",
        ),
        (
            {"protocol": Protocol.ICMPV6, "icmp_type": 2, "icmp_mtu": 1_400},
            "ICMPv6 PacketTooBig",
        ),
        ({"tcp_flags": 0x112}, "TCP Flags: SYN, ACK, NS"),
    ],
)
def test_the_summary_is_of_the_innermost_header(columns: dict[str, object], summary: str) -> None:
    assert made(**columns)[1] == summary
