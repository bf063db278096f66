from __future__ import annotations

from types import SimpleNamespace

import pytest

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.flow_transport import set_transport
from palomar_server.table import FLOW, Flag, Protocol
from palomar_server.testing import flow_rows


def made(**columns: object) -> flow_pb2.Flow:
    flow = flow_pb2.Flow()
    [row] = flow_rows(1, **columns)
    set_transport(flow, SimpleNamespace(**dict(zip(FLOW.names or (), row.item(), strict=True))))
    return flow


def test_igmp_has_type_and_group() -> None:
    flow = made(protocol=Protocol.IGMP, icmp_type=0x16, igmp_group=0xEF010203)
    igmp = flow_pb2.IGMP(type=0x16, group_address="239.1.2.3")
    assert flow.l4 == flow_pb2.Layer4(IGMP=igmp)
    assert flow.Summary == "IGMP IGMPv2 Membership Report"


def test_vrrp_has_router_and_priority() -> None:
    flow = made(protocol=Protocol.VRRP, icmp_type=1, vrrp_vrid=51, vrrp_priority=100)
    vrrp = flow_pb2.VRRP(type=1, vrid=51, priority=100)
    assert flow.l4 == flow_pb2.Layer4(VRRP=vrrp)
    assert flow.Summary == "VRRP VRRPv2 Advertisement"


def test_a_header_of_zeros_is_a_header() -> None:
    assert made(protocol=Protocol.SCTP).l4.WhichOneof("protocol") == "SCTP"
    flow = made(protocol=Protocol.TCP)
    assert flow.l4.TCP.HasField("flags")
    assert flow.Summary == "TCP Flags: "


@pytest.mark.parametrize(
    ("protocol", "flags", "summary"),
    [
        (Protocol.TCP, Flag.IP | Flag.L4, "TCP"),
        (Protocol.UDP, Flag.IP | Flag.L4, "UDP"),
        (0, Flag.IP, "Unknown"),
    ],
)
def test_a_socket_event_has_ports_and_no_more(protocol: int, flags: int, summary: str) -> None:
    flow = made(
        event_type=MessageType.TRACE_SOCK, protocol=protocol, flags=flags, destination_port=80
    )
    assert flow.Summary == summary
    assert flow.HasField("l4") == (summary != "Unknown")
    assert not flow.l4.TCP.HasField("flags")
    assert flow.l4.TCP.destination_port + flow.l4.UDP.destination_port == 80 * bool(protocol)
