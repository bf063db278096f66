"""FlowFilter.source_cluster_name and destination_cluster_name: the cluster of an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.endpoint_message import cluster_shown
from palomar_server.filters.endpoint_identity import EndpointIdentityPredicate
from palomar_server.filters.predicate import with_messages

if TYPE_CHECKING:
    from palomar_server.endpoints import Endpoint
    from palomar_server.filters.predicate import FieldFilter, Predicate


def compile_cluster(field: FieldFilter) -> Predicate:
    """Flows with one of the clusters at that end."""
    names: frozenset[str] = field.parsed
    identities = field.surroundings.identities

    def matches(endpoint: Endpoint, identity: int) -> bool:
        return cluster_shown(endpoint, identity, identities) in names

    columns = EndpointIdentityPredicate(field.side, field.surroundings, matches)
    return with_messages(columns, field.test)
