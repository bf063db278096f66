"""The transport header of a flow message, and its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.address import MAPPED_PREFIX_LO, format_address
from palomar_server.flow_summary import TCP_FLAGS, icmp_summary, igmp_summary, tcp_summary
from palomar_server.table import Flag, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_SOCKET_SUMMARIES = {Protocol.TCP: "TCP", Protocol.UDP: "UDP"}


def set_transport(flow: flow_pb2.Flow, fields: Any) -> None:
    """Set `l4` and `Summary`, which tells of the innermost header that was decoded.

    Args:
        flow: the message to fill.
        fields: the columns of its row, as attributes.
    """
    setter = _SETTERS.get(fields.protocol) if fields.flags & Flag.L4 else None
    if fields.event_type == MessageType.TRACE_SOCK:
        # There is no packet: only the ports are known.
        flow.Summary = _SOCKET_SUMMARIES[fields.protocol] if setter else "Unknown"
        if setter:
            _set_ports(flow.l4.TCP if fields.protocol == Protocol.TCP else flow.l4.UDP, fields)
    elif setter:
        flow.Summary = setter(flow.l4, fields)
    elif fields.flags & Flag.IP:
        flow.Summary = "IPv4" if fields.ip_version == flow_pb2.IPv4 else "IPv6"
    elif fields.flags & Flag.ETHERNET:
        flow.Summary = "Ethernet"


def _set_ports(header: flow_pb2.TCP | flow_pb2.UDP | flow_pb2.SCTP, fields: Any) -> None:
    header.SetInParent()
    header.source_port = fields.source_port
    header.destination_port = fields.destination_port


def _set_tcp(l4: flow_pb2.Layer4, fields: Any) -> str:
    _set_ports(l4.TCP, fields)
    flags = l4.TCP.flags
    flags.SetInParent()
    for name, bit in TCP_FLAGS:
        if fields.tcp_flags & bit:
            setattr(flags, name, True)
    return tcp_summary(fields.tcp_flags)


def _set_udp(l4: flow_pb2.Layer4, fields: Any) -> str:
    _set_ports(l4.UDP, fields)
    return "UDP"


def _set_sctp(l4: flow_pb2.Layer4, fields: Any) -> str:
    _set_ports(l4.SCTP, fields)
    return "SCTP"


def _set_icmp(l4: flow_pb2.Layer4, fields: Any) -> str:
    icmp = l4.ICMPv4 if fields.protocol == Protocol.ICMP else l4.ICMPv6
    icmp.SetInParent()
    icmp.type, icmp.code = fields.icmp_type, fields.icmp_code
    return icmp_summary(fields.protocol, fields.icmp_type, fields.icmp_code)


def _set_igmp(l4: flow_pb2.Layer4, fields: Any) -> str:
    l4.IGMP.type = fields.icmp_type
    l4.IGMP.group_address = format_address(0, MAPPED_PREFIX_LO | fields.igmp_group)
    return igmp_summary(fields.icmp_type)


def _set_vrrp(l4: flow_pb2.Layer4, fields: Any) -> str:
    l4.VRRP.type = fields.icmp_type
    l4.VRRP.vrid = fields.vrrp_vrid
    l4.VRRP.priority = fields.vrrp_priority
    # Other messages than advertisements are malformed.
    return "VRRP VRRPv2 Advertisement"


_SETTERS: dict[int, Callable[[flow_pb2.Layer4, Any], str]] = {
    Protocol.TCP: _set_tcp,
    Protocol.UDP: _set_udp,
    Protocol.SCTP: _set_sctp,
    Protocol.ICMP: _set_icmp,
    Protocol.ICMPV6: _set_icmp,
    Protocol.IGMP: _set_igmp,
    Protocol.VRRP: _set_vrrp,
}
