"""FlowFilter.source_pod and destination_pod: `[namespace/]name-prefix`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.filters.endpoint_row import EndpointPredicate
from palomar_server.filters.name_prefixes import NamePrefixes

if TYPE_CHECKING:
    from palomar_server.endpoints import Endpoint
    from palomar_server.filters.predicate import FieldFilter, Predicate


def compile_pod(field: FieldFilter) -> Predicate:
    """Flows with one of the pods at that end."""
    prefixes = NamePrefixes(field.parsed)

    def matches(endpoint: Endpoint) -> bool:
        return prefixes.match(endpoint.namespace, endpoint.pod_name)

    return EndpointPredicate(field.side, field.surroundings.endpoints, matches)
