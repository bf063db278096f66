"""FlowFilter.verdict: what happened to the packet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.filters.predicate import one_of

if TYPE_CHECKING:
    from palomar_proto.flow import flow_pb2
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings


def compile_verdict(flow_filter: flow_pb2.FlowFilter, _: Surroundings) -> Predicate:
    """Flows with one of the verdicts."""
    return one_of("verdict", flow_filter.verdict)
