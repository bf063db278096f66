"""FlowFilter.source_label and destination_label: selectors over the labels that an end shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.endpoint_message import labels_shown
from palomar_server.filters.endpoint_identity import EndpointIdentityPredicate
from palomar_server.filters.predicate import with_messages

if TYPE_CHECKING:
    from palomar_proto.flow_filter.label_selector import LabelSelector
    from palomar_server.endpoints import Endpoint
    from palomar_server.filters.predicate import FieldFilter, Predicate


def compile_label(field: FieldFilter) -> Predicate:
    """Flows whose labels at that end match one of the selectors."""
    selectors: tuple[LabelSelector, ...] = field.parsed
    identities = field.surroundings.identities

    def matches(endpoint: Endpoint, identity: int) -> bool:
        labels = labels_shown(endpoint, identity, identities)
        return any(one.matches(labels) for one in selectors)

    columns = EndpointIdentityPredicate(field.side, field.surroundings, matches)
    return with_messages(columns, field.test)
