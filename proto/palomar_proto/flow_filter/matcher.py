"""A FlowFilter, and lists of them, compiled to what says whether an event matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from palomar_proto.flow_filter import endpoint_fields, flow_fields, l7_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from palomar_proto.flow import flow_pb2
    from palomar_proto.flow_filter.endpoint_fields import Side
    from palomar_proto.flow_filter.event import Event, EventPredicate, FieldMatcher

_Compile: TypeAlias = "Callable[[flow_pb2.FlowFilter], FieldMatcher]"


def _sides(
    name: str, compile_side: Callable[[flow_pb2.FlowFilter, Side], FieldMatcher]
) -> dict[str, _Compile]:
    return {
        f"source_{name}": lambda flow_filter: compile_side(flow_filter, "source"),
        f"destination_{name}": lambda flow_filter: compile_side(flow_filter, "destination"),
    }


FIELDS: dict[str, _Compile] = {
    # Cheapest first: a filter stops at the first field that does not match.
    "verdict": flow_fields.verdict,
    "event_type": flow_fields.event_type,
    "traffic_direction": flow_fields.traffic_direction,
    "reply": flow_fields.reply,
    "ip_version": flow_fields.ip_version,
    "encrypted": flow_fields.encrypted,
    "drop_reason_desc": flow_fields.drop_reason,
    "uuid": flow_fields.uuid,
    "trace_id": flow_fields.trace_id,
    "ip_trace_id": flow_fields.ip_trace_id,
    "protocol": flow_fields.protocol,
    **_sides("identity", endpoint_fields.identity),
    **_sides("cluster_name", endpoint_fields.cluster),
    **_sides("port", endpoint_fields.port),
    "tcp_flags": flow_fields.tcp_flags,
    "interface": flow_fields.interface,
    **_sides("pod", endpoint_fields.pod),
    **_sides("service", endpoint_fields.service),
    **_sides("workload", endpoint_fields.workload),
    **_sides("ip", endpoint_fields.address),
    "source_ip_xlated": flow_fields.source_ip_xlated,
    "node_name": flow_fields.node_name,
    **_sides("fqdn", endpoint_fields.fqdn),
    "http_status_code": l7_fields.http_status_code,
    "http_method": l7_fields.http_method,
    "http_header": l7_fields.http_header,
    "http_url": l7_fields.http_url,
    "http_path": l7_fields.http_path,
    "dns_query": l7_fields.dns_query,
    **_sides("label", endpoint_fields.label),
    "node_labels": flow_fields.node_labels,
    "experimental": flow_fields.cel_expression,
}
"""Every field of a FlowFilter, by its proto name, in the order of evaluation."""


class Matcher:
    """One FlowFilter: every field that is set has to match; of its values one."""

    __slots__ = ("_predicates",)

    def __init__(self, predicates: Iterable[EventPredicate]) -> None:
        self._predicates = tuple(predicates)

    def matches(self, event: Event) -> bool:
        """Whether the event does; every event matches a filter without fields."""
        return all(predicate(event) for predicate in self._predicates)


class ListMatcher:
    """A whitelist and a blacklist of a request."""

    __slots__ = ("_blacklist", "_whitelist")

    def __init__(self, whitelist: Iterable[Matcher], blacklist: Iterable[Matcher]) -> None:
        self._whitelist = tuple(whitelist)
        self._blacklist = tuple(blacklist)

    def matches(self, event: Event) -> bool:
        """Whether one of the whitelist matches, or it is empty, and none of the blacklist does.

        Loss notices are judged as all events: who has to send them regardless does so himself.
        """
        if self._whitelist and not any(one.matches(event) for one in self._whitelist):
            return False
        return not any(one.matches(event) for one in self._blacklist)


def parse_filter(flow_filter: flow_pb2.FlowFilter) -> dict[str, FieldMatcher]:
    """The fields of a filter that are set, by proto name, in the order of FIELDS.

    Raises:
        FilterError: a value breaks its field's rule.
    """
    given = {field.name for field, _ in flow_filter.ListFields()}
    if not flow_filter.experimental.cel_expression:
        # Without an expression it says nothing.
        given.discard("experimental")
    return {name: parse(flow_filter) for name, parse in FIELDS.items() if name in given}


def compile_filter(flow_filter: flow_pb2.FlowFilter) -> Matcher:
    """A filter.

    Raises:
        FilterError: a value breaks its field's rule.
    """
    return Matcher(field.matches for field in parse_filter(flow_filter).values())


def compile_lists(
    whitelist: Iterable[flow_pb2.FlowFilter], blacklist: Iterable[flow_pb2.FlowFilter]
) -> ListMatcher:
    """Both lists of a request.

    Raises:
        FilterError: a value breaks its field's rule.
    """
    return ListMatcher(map(compile_filter, whitelist), map(compile_filter, blacklist))
