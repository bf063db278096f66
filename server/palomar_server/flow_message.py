"""From a row of the flow table to a flow.Flow: everything that repeats within a connection.

A flow is made of parts, each from a few columns: what one part is made of repeats far more often
than a whole row does, and so is worth keeping (`flow_parts`).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.address import format_address
from palomar_server.endpoint_message import endpoint_message
from palomar_server.flow_policy import set_policies
from palomar_server.flow_transport import header_summary, set_header
from palomar_server.source_files import source_file
from palomar_server.surroundings import KERNEL_DROP_REASON_BASE
from palomar_server.table import FLOW, Flag

if TYPE_CHECKING:
    from palomar_server.surroundings import Surroundings

_NAMES = FLOW.names or ()
POINTS_REVERSE = (
    flow_pb2.SOCK_XLATE_POINT_PRE_DIRECTION_REV,
    flow_pb2.SOCK_XLATE_POINT_POST_DIRECTION_REV,
)
"""Points of socket events where the pod that made the call is the destination."""
# Plain numbers: an enumeration takes longer for a & than all the rest of such a line.
_ETHERNET, _IP = int(Flag.ETHERNET), int(Flag.IP)
_ENCRYPTED, _XLATED = int(Flag.ENCRYPTED), int(Flag.XLATED)
_NEVER_DROPS = (MessageType.DEBUG_CAPTURE, MessageType.TRACE_SOCK)
_INT32_SIGN, _INT32_RANGE = 1 << 31, 1 << 32

Fields: TypeAlias = Any
"""The columns of a row, as attributes."""


def build_flow(row: Any, surroundings: Surroundings) -> flow_pb2.Flow:
    """Build the message of one row, without `time`, `uuid` and what tells of this node.

    Args:
        row: one element of a `FLOW` array, without a message of its own.
        surroundings: the tables that its numbers point into.
    """
    fields = fields_of(row)
    flow = flow_pb2.Flow()
    for set_part in (
        *(set_source, set_destination, set_network, set_services, set_l4, set_summary),
        *(set_manner, set_drop, set_policy),
    ):
        set_part(flow, fields, surroundings)
    return flow


def fields_of(row: Any) -> Fields:
    """The columns of one element of a `FLOW` array, as attributes with Python's own numbers."""
    return SimpleNamespace(**dict(zip(_NAMES, row.item(), strict=True)))


def set_source(flow: flow_pb2.Flow, fields: Fields, surroundings: Surroundings) -> None:
    """Set `source`."""
    end = endpoint_message(surroundings, fields.source_endpoint, fields.source_identity)
    flow.source.CopyFrom(end)


def set_destination(flow: flow_pb2.Flow, fields: Fields, surroundings: Surroundings) -> None:
    """Set `destination`."""
    end = endpoint_message(surroundings, fields.destination_endpoint, fields.destination_identity)
    flow.destination.CopyFrom(end)


def set_network(flow: flow_pb2.Flow, fields: Fields, surroundings: Surroundings) -> None:
    """Set Ethernet and IP headers, the tunnel around them, and the names of the addresses."""
    if fields.flags & _ETHERNET:
        flow.ethernet.source = bytes(fields.source_mac).hex(":")
        flow.ethernet.destination = bytes(fields.destination_mac).hex(":")
    if fields.flags & _IP:
        _set_ip(flow, fields, surroundings)
    if fields.tunnel_protocol:
        _set_tunnel(flow, fields)


def set_services(flow: flow_pb2.Flow, fields: Fields, surroundings: Surroundings) -> None:
    """Set the services that the two ends are reached by."""
    if not fields.flags & _IP:
        return
    names = surroundings.names
    source = (fields.source_hi, fields.source_lo)
    destination = (fields.destination_hi, fields.destination_lo)
    if (service := names.service(source, fields.source_port)) is not None:
        flow.source_service.name, flow.source_service.namespace = service.name, service.namespace
    if (service := names.service(destination, fields.destination_port)) is not None:
        target = flow.destination_service
        target.name, target.namespace = service.name, service.namespace


def set_l4(flow: flow_pb2.Flow, fields: Fields, _: Surroundings) -> None:
    """Set `l4`."""
    set_header(flow, fields)


def set_summary(flow: flow_pb2.Flow, fields: Fields, surroundings: Surroundings) -> None:
    """Set `Summary`.

    Stock clients print it, so a kernel's drop has its reason and function there, too.
    """
    flow.Summary = header_summary(fields)
    if _is_kernel_drop(fields):
        site = surroundings.drop_sites.value(fields.drop_site)
        where = " at ".join(filter(None, (site.reason, site.function)))
        flow.Summary = "; ".join(filter(None, (flow.Summary, where)))


def set_manner(flow: flow_pb2.Flow, fields: Fields, surroundings: Surroundings) -> None:
    """Set what was seen where and how: everything about the event that is not in the packet."""
    is_socket = fields.event_type == MessageType.TRACE_SOCK
    flow.verdict = fields.verdict
    flow.Type = flow_pb2.SOCK if is_socket else flow_pb2.L3_L4
    flow.traffic_direction = fields.direction
    flow.trace_observation_point = fields.observation_point
    flow.trace_reason = fields.trace_reason
    flow.proxy_port = fields.proxy_port
    flow.policy_match_type = fields.policy_match_type
    flow.auth_type = fields.auth_type
    flow.event_type.type = fields.event_type
    flow.event_type.sub_type = fields.event_subtype
    if fields.is_reply >= 0:
        flow.is_reply.value = bool(fields.is_reply)
        flow.reply = bool(fields.is_reply)
    if fields.interface:
        interface = surroundings.interfaces.value(fields.interface)
        flow.interface.index = interface.index
        flow.interface.name = interface.name
    if fields.ip_trace_id:
        flow.ip_trace_id.trace_id = fields.ip_trace_id
        flow.ip_trace_id.ip_option_type = fields.ip_trace_option
    if fields.event_type == MessageType.DEBUG_CAPTURE:
        flow.debug_capture_point = fields.event_subtype
    elif is_socket:
        flow.sock_xlate_point = fields.event_subtype
        flow.socket_cookie = fields.socket_cookie
        flow.cgroup_id = fields.cgroup_id


def set_drop(flow: flow_pb2.Flow, fields: Fields, surroundings: Surroundings) -> None:
    """Set why and where the packet was dropped, if it was."""
    if fields.event_type in _NEVER_DROPS or fields.verdict != flow_pb2.DROPPED:
        return
    reason = fields.drop_reason
    flow.drop_reason = reason
    # An open enumeration, of 32 bits with a sign: the kernel's reasons have numbers that flow.proto
    # does not name, and a verdict may be any number.
    flow.drop_reason_desc = flow_pb2.DropReason.ValueType(
        (reason + _INT32_SIGN) % _INT32_RANGE - _INT32_SIGN
    )
    if _is_kernel_drop(fields):
        if function := surroundings.drop_sites.value(fields.drop_site).function:
            flow.file.name = function
    elif fields.event_type == MessageType.DROP:
        flow.file.name = source_file(fields.drop_file)
        flow.file.line = fields.drop_line


def set_policy(flow: flow_pb2.Flow, fields: Fields, surroundings: Surroundings) -> None:
    """Set which policies were behind a verdict; all other parts are set already."""
    if fields.event_type == MessageType.POLICY_VERDICT:
        set_policies(flow, fields.protocol, surroundings.policies)


def _is_kernel_drop(fields: Fields) -> bool:
    is_drop = fields.event_type == MessageType.DROP and fields.verdict == flow_pb2.DROPPED
    return is_drop and bool(fields.drop_reason >= KERNEL_DROP_REASON_BASE)


def _set_ip(flow: flow_pb2.Flow, fields: Any, surroundings: Surroundings) -> None:
    source = (fields.source_hi, fields.source_lo)
    destination = (fields.destination_hi, fields.destination_lo)
    pod = None
    if fields.event_type == MessageType.TRACE_SOCK:
        pod = destination if fields.event_subtype in POINTS_REVERSE else source
    # The pod that made a socket call may not be known.
    if source is not pod or any(source):
        flow.IP.source = format_address(*source)
    if destination is not pod or any(destination):
        flow.IP.destination = format_address(*destination)
    flow.IP.ipVersion = fields.ip_version
    flow.IP.encrypted = bool(fields.flags & _ENCRYPTED)
    if fields.flags & _XLATED:
        xlated = (fields.source_xlated_hi, fields.source_xlated_lo)
        flow.IP.source_xlated = format_address(*xlated)
    names = surroundings.names
    # Each end's names are those by which the other one knows it.
    endpoints = surroundings.endpoints
    flow.source_names.extend(names.dns(endpoints.endpoint(fields.destination_endpoint).id, source))
    flow.destination_names.extend(
        names.dns(endpoints.endpoint(fields.source_endpoint).id, destination)
    )


def _set_tunnel(flow: flow_pb2.Flow, fields: Any) -> None:
    tunnel = flow.tunnel
    tunnel.protocol = fields.tunnel_protocol
    tunnel.vni = fields.tunnel_vni
    tunnel.l4.UDP.source_port = fields.tunnel_source_port
    tunnel.l4.UDP.destination_port = fields.tunnel_destination_port
    if fields.tunnel_ip_version:
        tunnel.IP.source = format_address(fields.tunnel_source_hi, fields.tunnel_source_lo)
        destination = (fields.tunnel_destination_hi, fields.tunnel_destination_lo)
        tunnel.IP.destination = format_address(*destination)
        tunnel.IP.ipVersion = fields.tunnel_ip_version
