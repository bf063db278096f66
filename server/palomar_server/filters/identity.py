"""FlowFilter.source_identity and destination_identity: security identities by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.filters.predicate import one_of, with_messages

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate

_NONE = 0


def compile_identity(field: FieldFilter) -> Predicate:
    """Flows with one of the identities at that end."""
    columns = one_of(f"{field.side}_identity", field.parsed)
    if _NONE not in field.parsed:
        return columns
    # A message from elsewhere may have no such end, and that matches nothing.
    return with_messages(columns, field.test)
