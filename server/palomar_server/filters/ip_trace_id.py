"""FlowFilter.ip_trace_id: the trace id that an IP option carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.filters.predicate import one_of

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate


def compile_ip_trace_id(field: FieldFilter) -> Predicate:
    """Flows with one of the ids."""
    return one_of("ip_trace_id", field.parsed)
