"""FlowFilter.traffic_direction: direction of the connection at the endpoint where it was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.filters.predicate import one_of

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate


def compile_traffic_direction(field: FieldFilter) -> Predicate:
    """Flows with one of the directions."""
    return one_of("direction", field.parsed)
