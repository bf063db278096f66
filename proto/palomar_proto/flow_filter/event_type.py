"""event_type: the monitor message behind an event, and its subtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from palomar_proto.flow import flow_pb2

ANY = 0
DEBUG = 2
"""What debug events count as; their subtype is DebugEvent.type."""
ACCESS_LOG = 129
"""Application protocols."""
AGENT = 130
"""What agent events count as; their subtype is AgentEvent.type."""


@dataclass(frozen=True, slots=True)
class EventTypePattern:
    """A type, and a subtype where one is asked for."""

    type: int
    """0: any."""
    sub_type: int | None
    """None: any."""

    def matches(self, event_type: int, sub_type: int) -> bool:
        """Whether an event of that type and subtype is meant."""
        return self.type in (ANY, event_type) and self.sub_type in (None, sub_type)


def parse_event_types(
    field: str,  # noqa: ARG001 - every parse function takes it
    values: Iterable[flow_pb2.EventTypeFilter],
) -> tuple[EventTypePattern, ...]:
    """The types of a field, as alternatives. Every value is valid."""
    return tuple(
        EventTypePattern(value.type, value.sub_type if value.match_sub_type else None)
        for value in values
    )
