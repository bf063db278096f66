"""Filters that no packet can match are refused: they are meant for flows of other origin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.event_type import ANY
from palomar_proto.flow_filter.protocol import L7_PROTOCOLS
from palomar_server.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

_LAYER_7 = "is of requests in access logs, which have no packets; name the port instead"
_IMPOSSIBLE = {
    **dict.fromkeys(
        ("http_status_code", "http_method", "http_path", "http_url", "http_header", "trace_id"),
        _LAYER_7,
    ),
    "dns_query": _LAYER_7,
    "uuid": "is of flows that were observed; packets have none",
    "source_ip_xlated": "is not known of packets, which are recorded as they are seen",
}
"""Field: why no packet can match it."""
_VERDICTS = frozenset({flow_pb2.FORWARDED, flow_pb2.DROPPED})
_EVENT_TYPES = frozenset({ANY, int(MessageType.TRACE), int(MessageType.DROP)})
"""What recorded packets have."""


def check_possible(flow_filter: flow_pb2.FlowFilter, where: str) -> None:
    """See that packets can match a filter.

    In a blacklist it is refused as well: who writes it there expects packets to be left out.

    Args:
        flow_filter: one that is valid for flows.
        where: its place in the request, for errors.

    Raises:
        InvalidRequest: none can; with field, value and why.
    """
    for field, value in flow_filter.ListFields():
        if field.name in _IMPOSSIBLE:
            raise InvalidRequest(f"{where}.{field.name}", list(value), _IMPOSSIBLE[field.name])
    for protocol in flow_filter.protocol:
        if protocol.lower() in L7_PROTOCOLS:
            raise InvalidRequest(f"{where}.protocol", protocol, _LAYER_7)
    verdicts = list(flow_filter.verdict)
    if _none_of(verdicts, _VERDICTS):
        names = [flow_pb2.Verdict.Name(one) for one in verdicts if one in flow_pb2.Verdict.values()]
        rule = "is no verdict of a packet: those are FORWARDED and DROPPED"
        raise InvalidRequest(f"{where}.verdict", ", ".join(names) or verdicts, rule)
    types = [one.type for one in flow_filter.event_type]
    if _none_of(types, _EVENT_TYPES):
        rule = "is no event type of a packet: those are 1 (drop) and 4 (trace)"
        raise InvalidRequest(f"{where}.event_type", types, rule)


def _none_of(values: Iterable[int], possible: frozenset[int]) -> bool:
    given = set(values)
    return bool(given) and given.isdisjoint(possible)
