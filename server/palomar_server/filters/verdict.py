"""FlowFilter.verdict: what happened to the packet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.filters.predicate import one_of

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate


def compile_verdict(field: FieldFilter) -> Predicate:
    """Flows with one of the verdicts."""
    return one_of("verdict", field.parsed)
