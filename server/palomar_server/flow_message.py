"""From a row of the flow table to a flow.Flow: everything that repeats within a connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from palomar_proto.flow import flow_pb2
from palomar_server.address import format_address
from palomar_server.flow_summary import TCP_FLAGS, icmp_summary, tcp_summary
from palomar_server.surroundings import KERNEL_DROP_REASON_BASE
from palomar_server.table import FLOW, Flag, Protocol

if TYPE_CHECKING:
    from palomar_server.endpoints import Endpoint
    from palomar_server.names import Names
    from palomar_server.surroundings import Surroundings

_NAMES = FLOW.names or ()


def build_flow(
    row: Any, surroundings: Surroundings, names: Names, node_name: str, node_labels: tuple[str, ...]
) -> flow_pb2.Flow:
    """Build the message of one row, without `time` and `uuid`.

    Args:
        row: one element of a `FLOW` array.
        surroundings: the tables that its numbers point into.
        names: DNS names and services of addresses.
        node_name: as cluster/node.
        node_labels: labels of this node.
    """
    fields = SimpleNamespace(**dict(zip(_NAMES, row.item(), strict=True)))
    flow = flow_pb2.Flow(
        verdict=fields.verdict,
        Type=flow_pb2.L3_L4,
        node_name=node_name,
        node_labels=node_labels,
        traffic_direction=fields.direction,
        trace_observation_point=fields.observation_point,
        trace_reason=fields.trace_reason,
    )
    flow.event_type.type = fields.event_type
    flow.event_type.sub_type = fields.event_subtype
    if fields.is_reply >= 0:
        flow.is_reply.value = bool(fields.is_reply)
        flow.reply = bool(fields.is_reply)
    if fields.interface:
        interface = surroundings.interfaces.value(fields.interface)
        flow.interface.index = interface.index
        flow.interface.name = interface.name
    if fields.flags & Flag.ETHERNET:
        flow.ethernet.source = bytes(fields.source_mac).hex(":")
        flow.ethernet.destination = bytes(fields.destination_mac).hex(":")
    if fields.flags & Flag.IP:
        _set_ip(flow, fields, surroundings, names)
    flow.Summary = _set_l4(flow, fields)
    if fields.drop_reason:
        _set_drop(flow, fields, surroundings)
    return flow


def _set_ip(flow: flow_pb2.Flow, fields: Any, surroundings: Surroundings, names: Names) -> None:
    flow.IP.source = format_address(fields.source_hi, fields.source_lo, fields.ip_version)
    flow.IP.destination = format_address(
        fields.destination_hi, fields.destination_lo, fields.ip_version
    )
    flow.IP.ipVersion = fields.ip_version
    flow.IP.encrypted = bool(fields.flags & Flag.ENCRYPTED)
    endpoint = surroundings.endpoints.endpoint
    _set_endpoint(flow.source, endpoint(fields.source_endpoint), fields.source_identity)
    _set_endpoint(
        flow.destination, endpoint(fields.destination_endpoint), fields.destination_identity
    )
    source = (fields.source_hi, fields.source_lo)
    destination = (fields.destination_hi, fields.destination_lo)
    flow.source_names.extend(names.dns(source))
    flow.destination_names.extend(names.dns(destination))
    for message, service in (
        (flow.source_service, names.service(source, fields.source_port)),
        (flow.destination_service, names.service(destination, fields.destination_port)),
    ):
        if service is not None:
            message.name, message.namespace = service.name, service.namespace


def _set_endpoint(message: flow_pb2.Endpoint, endpoint: Endpoint, identity: int) -> None:
    message.SetInParent()
    message.ID = endpoint.id
    message.identity = identity
    message.cluster_name = endpoint.cluster_name
    message.namespace = endpoint.namespace
    message.pod_name = endpoint.pod_name
    message.labels.extend(endpoint.labels)
    for name, kind in endpoint.workloads:
        message.workloads.add(name=name, kind=kind)


def _set_l4(flow: flow_pb2.Flow, fields: Any) -> str:
    """Set the transport header and return the summary of the innermost header that was decoded."""
    if not fields.flags & Flag.L4:
        if fields.flags & Flag.IP:
            return "IPv4" if fields.ip_version == flow_pb2.IPv4 else "IPv6"
        return "Ethernet" if fields.flags & Flag.ETHERNET else ""
    if fields.protocol == Protocol.TCP:
        flow.l4.TCP.source_port = fields.source_port
        flow.l4.TCP.destination_port = fields.destination_port
        flags = flow.l4.TCP.flags
        flags.SetInParent()
        for name, bit in TCP_FLAGS:
            if fields.tcp_flags & bit:
                setattr(flags, name, True)
        return tcp_summary(fields.tcp_flags)
    if fields.protocol == Protocol.UDP:
        flow.l4.UDP.source_port = fields.source_port
        flow.l4.UDP.destination_port = fields.destination_port
        return "UDP"
    if fields.protocol == Protocol.SCTP:
        flow.l4.SCTP.source_port = fields.source_port
        flow.l4.SCTP.destination_port = fields.destination_port
        return "SCTP"
    icmp = flow.l4.ICMPv4 if fields.protocol == Protocol.ICMP else flow.l4.ICMPv6
    icmp.SetInParent()
    icmp.type, icmp.code = fields.icmp_type, fields.icmp_code
    return icmp_summary(fields.protocol, fields.icmp_type, fields.icmp_code)


def _set_drop(flow: flow_pb2.Flow, fields: Any, surroundings: Surroundings) -> None:
    flow.drop_reason = fields.drop_reason
    # An open enumeration: the kernel's reasons have numbers that flow.proto does not name.
    flow.drop_reason_desc = flow_pb2.DropReason.ValueType(fields.drop_reason)
    if fields.drop_reason < KERNEL_DROP_REASON_BASE:
        return
    site = surroundings.drop_sites.value(fields.drop_site)
    # Stock clients print Summary, so the reason and the function are there too.
    where = " at ".join(filter(None, (site.reason, site.function)))
    flow.Summary = "; ".join(filter(None, (flow.Summary, where)))
    if site.function:
        flow.file.name = site.function
