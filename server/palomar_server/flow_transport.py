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

# Plain numbers, which are quicker.
_ETHERNET, _IP, _L4, _MTU = int(Flag.ETHERNET), int(Flag.IP), int(Flag.L4), int(Flag.MTU)
_SOCKET_SUMMARIES = {Protocol.TCP: "TCP", Protocol.UDP: "UDP"}


def set_header(flow: flow_pb2.Flow, fields: Any) -> None:
    """Set `l4`, to the innermost header that was decoded.

    Args:
        flow: the message to fill.
        fields: the columns of its row, as attributes.
    """
    setter = _SETTERS.get(fields.protocol) if fields.flags & _L4 else None
    if setter is None:
        return
    if fields.event_type == MessageType.TRACE_SOCK:
        # There is no packet: only the ports are known.
        _set_ports(flow.l4.TCP if fields.protocol == Protocol.TCP else flow.l4.UDP, fields)
    else:
        setter(flow.l4, fields)


def header_summary(fields: Any) -> str:
    """The packet in a few words, such as `TCP Flags: SYN`."""
    summary = _SUMMARIES.get(fields.protocol) if fields.flags & _L4 else None
    if fields.event_type == MessageType.TRACE_SOCK:
        return _SOCKET_SUMMARIES[fields.protocol] if summary else "Unknown"
    if summary is not None:
        return summary(fields)
    if fields.flags & _IP:
        return "IPv4" if fields.ip_version == flow_pb2.IPv4 else "IPv6"
    return "Ethernet" if fields.flags & _ETHERNET else ""


def _set_ports(header: flow_pb2.TCP | flow_pb2.UDP | flow_pb2.SCTP, fields: Any) -> None:
    header.SetInParent()
    header.source_port = fields.source_port
    header.destination_port = fields.destination_port


def _set_tcp(l4: flow_pb2.Layer4, fields: Any) -> None:
    _set_ports(l4.TCP, fields)
    flags = l4.TCP.flags
    flags.SetInParent()
    for name, bit in TCP_FLAGS:
        if fields.tcp_flags & bit:
            setattr(flags, name, True)


def _set_udp(l4: flow_pb2.Layer4, fields: Any) -> None:
    _set_ports(l4.UDP, fields)


def _set_sctp(l4: flow_pb2.Layer4, fields: Any) -> None:
    _set_ports(l4.SCTP, fields)


def _set_icmp(l4: flow_pb2.Layer4, fields: Any) -> None:
    icmp = l4.ICMPv4 if fields.protocol == Protocol.ICMP else l4.ICMPv6
    icmp.SetInParent()
    icmp.type, icmp.code = fields.icmp_type, fields.icmp_code


def _set_igmp(l4: flow_pb2.Layer4, fields: Any) -> None:
    l4.IGMP.type = fields.icmp_type
    l4.IGMP.group_address = format_address(0, MAPPED_PREFIX_LO | fields.igmp_group)


def _set_vrrp(l4: flow_pb2.Layer4, fields: Any) -> None:
    l4.VRRP.type = fields.icmp_type
    l4.VRRP.vrid = fields.vrrp_vrid
    l4.VRRP.priority = fields.vrrp_priority


def _icmp(fields: Any) -> str:
    mtu = fields.icmp_mtu if fields.flags & _MTU else 0
    return icmp_summary(fields.protocol, fields.icmp_type, fields.icmp_code, mtu)


_SETTERS: dict[int, Callable[[flow_pb2.Layer4, Any], None]] = {
    Protocol.TCP: _set_tcp,
    Protocol.UDP: _set_udp,
    Protocol.SCTP: _set_sctp,
    Protocol.ICMP: _set_icmp,
    Protocol.ICMPV6: _set_icmp,
    Protocol.IGMP: _set_igmp,
    Protocol.VRRP: _set_vrrp,
}
_SUMMARIES: dict[int, Callable[[Any], str]] = {
    Protocol.TCP: lambda fields: tcp_summary(fields.tcp_flags),
    Protocol.UDP: lambda _: "UDP",
    Protocol.SCTP: lambda _: "SCTP",
    Protocol.ICMP: _icmp,
    Protocol.ICMPV6: _icmp,
    Protocol.IGMP: lambda fields: igmp_summary(fields.icmp_type),
    # Other messages than advertisements are malformed.
    Protocol.VRRP: lambda _: "VRRP VRRPv2 Advertisement",
}
