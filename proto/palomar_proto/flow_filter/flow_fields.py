"""Predicates of the fields about a flow as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.address import parse_addresses
from palomar_proto.flow_filter.cel import parse_cel_expressions
from palomar_proto.flow_filter.enumeration import parse_values
from palomar_proto.flow_filter.event import FieldMatcher, on_events, on_flows
from palomar_proto.flow_filter.event_type import AGENT, DEBUG, parse_event_types
from palomar_proto.flow_filter.interface import parse_interfaces
from palomar_proto.flow_filter.label_selector import parse_label_selectors
from palomar_proto.flow_filter.node_name import full_name, parse_node_names
from palomar_proto.flow_filter.protocol import parse_protocols
from palomar_proto.flow_filter.tcp_flags import flag_bits, parse_tcp_flags

if TYPE_CHECKING:
    from palomar_proto.flow_filter.event import Event


def uuid(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """The whole text."""
    wanted = parse_values("uuid", flow_filter.uuid)
    return on_flows(wanted, lambda flow: flow.uuid in wanted)


def verdict(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """One of the verdicts."""
    wanted = parse_values("verdict", flow_filter.verdict)
    return on_flows(wanted, lambda flow: flow.verdict in wanted)


def drop_reason(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """One of the reasons, of a flow that was dropped."""
    wanted = parse_values("drop_reason_desc", flow_filter.drop_reason_desc)
    return on_flows(
        wanted, lambda flow: flow.verdict == flow_pb2.DROPPED and flow.drop_reason_desc in wanted
    )


def traffic_direction(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """One of the directions."""
    wanted = parse_values("traffic_direction", flow_filter.traffic_direction)
    return on_flows(wanted, lambda flow: flow.traffic_direction in wanted)


def ip_version(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """One of the versions; IP_NOT_USED is that of a flow without IP too."""
    wanted = parse_values("ip_version", flow_filter.ip_version)
    return on_flows(wanted, lambda flow: flow.IP.ipVersion in wanted)


def encrypted(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """Whether the packet was; a flow without IP counts as not."""
    wanted = parse_values("encrypted", flow_filter.encrypted)
    return on_flows(wanted, lambda flow: flow.IP.encrypted in wanted)


def reply(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """Whether the packet goes against its connection's direction.

    Where that is unknown, the flow matches nothing, except that a dropped one counts as no reply.
    """
    wanted = parse_values("reply", flow_filter.reply)

    def matches(flow: flow_pb2.Flow) -> bool:
        known = flow.HasField("is_reply") or flow.verdict == flow_pb2.DROPPED
        return known and flow.is_reply.value in wanted

    return on_flows(wanted, matches)


def trace_id(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """The whole text; the empty one is that of every event without a trace."""
    wanted = parse_values("trace_id", flow_filter.trace_id)
    return on_events(wanted, lambda flow: flow.trace_context.parent.trace_id in wanted)


def ip_trace_id(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """The number; 0 is that of every event without a trace."""
    wanted = parse_values("ip_trace_id", flow_filter.ip_trace_id)
    return on_events(wanted, lambda flow: flow.ip_trace_id.trace_id in wanted)


def event_type(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """One of the types. A flow without one matches nothing; a loss notice matches always."""
    wanted = parse_event_types("event_type", flow_filter.event_type)

    def matches(event: Event) -> bool:
        if isinstance(event, flow_pb2.LostEvent):
            return True
        if isinstance(event, flow_pb2.Flow):
            # Of a flow without a type not even the type that stands for any is.
            kind, sub_type = event.event_type.type, event.event_type.sub_type
            if not event.HasField("event_type"):
                return False
        else:
            kind = AGENT if isinstance(event, flow_pb2.AgentEvent) else DEBUG
            sub_type = int(event.type)
        return any(one.matches(kind, sub_type) for one in wanted)

    return FieldMatcher(wanted, matches)


def interface(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """One of the interfaces, of a flow that has one."""
    wanted = parse_interfaces("interface", flow_filter.interface)

    def matches(flow: flow_pb2.Flow) -> bool:
        here = flow.interface
        return flow.HasField("interface") and any(
            one.matches(here.index, here.name) for one in wanted
        )

    return on_flows(wanted, matches)


def protocol(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """The transport protocol or the application protocol is one of them."""
    wanted = parse_protocols("protocol", flow_filter.protocol)
    return on_flows(
        wanted,
        lambda flow: (
            flow.l4.WhichOneof("protocol") in wanted or flow.l7.WhichOneof("record") in wanted
        ),
    )


def tcp_flags(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """All flags of one of the sets are set; others may be, too."""
    wanted = parse_tcp_flags("tcp_flags", flow_filter.tcp_flags)

    def matches(flow: flow_pb2.Flow) -> bool:
        if not flow.l4.TCP.HasField("flags"):
            return False
        present = flag_bits(flow.l4.TCP.flags)
        return any(present & bits == bits for bits in wanted)

    return on_flows(wanted, matches)


def source_ip_xlated(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """The source address after it was translated."""
    wanted = parse_addresses("source_ip_xlated", flow_filter.source_ip_xlated)
    return on_flows(wanted, lambda flow: wanted.matches(flow.IP.source_xlated))


def node_name(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """The node that saw the packet; a flow without one matches nothing."""
    wanted = parse_node_names("node_name", flow_filter.node_name)
    return on_flows(wanted, lambda flow: wanted.matches(full_name(flow.node_name)))


def node_labels(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """One of the selectors, on the labels of the node that saw the packet."""
    wanted = parse_label_selectors("node_labels", flow_filter.node_labels)

    def matches(flow: flow_pb2.Flow) -> bool:
        return any(selector.matches(flow.node_labels) for selector in wanted)

    return on_events(wanted, matches)


def cel_expression(flow_filter: flow_pb2.FlowFilter) -> FieldMatcher:
    """One of the expressions."""
    wanted = parse_cel_expressions(
        "experimental.cel_expression", flow_filter.experimental.cel_expression
    )
    return FieldMatcher(
        wanted,
        lambda event: wanted.matches(event if isinstance(event, flow_pb2.Flow) else None),
    )
