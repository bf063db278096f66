"""FlowFilter.source_workload and destination_workload: what a pod belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.filters.endpoint_row import EndpointPredicate

if TYPE_CHECKING:
    from palomar_proto.flow_filter.workload import WorkloadPattern
    from palomar_server.endpoints import Endpoint
    from palomar_server.filters.predicate import FieldFilter, Predicate


def compile_workload(field: FieldFilter) -> Predicate:
    """Flows with one of the workloads at that end."""
    patterns: tuple[WorkloadPattern, ...] = field.parsed

    def matches(endpoint: Endpoint) -> bool:
        return any(one.matches(*workload) for workload in endpoint.workloads for one in patterns)

    return EndpointPredicate(field.side, field.surroundings.endpoints, matches)
