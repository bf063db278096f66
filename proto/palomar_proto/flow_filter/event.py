"""What filters look at, and the pieces that predicates of several fields are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from palomar_proto.flow import flow_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

Event: TypeAlias = flow_pb2.Flow | flow_pb2.AgentEvent | flow_pb2.DebugEvent | flow_pb2.LostEvent
"""An event as GetFlowsResponse, GetAgentEventsResponse and GetDebugEventsResponse carry it."""

EventPredicate: TypeAlias = "Callable[[Event], bool]"
"""Says whether an event matches."""


class FieldMatcher(NamedTuple):
    """One field of a filter."""

    parsed: Any
    """Its values, as the field's parse function gives them."""
    matches: EventPredicate
    """Whether an event matches one of them."""


def on_flows(parsed: object, matches: Callable[[flow_pb2.Flow], bool]) -> FieldMatcher:
    """A field that flows match so, and no other event does."""
    return FieldMatcher(parsed, lambda event: isinstance(event, flow_pb2.Flow) and matches(event))


def on_events(parsed: object, matches: Callable[[flow_pb2.Flow], bool]) -> FieldMatcher:
    """A field for which an event that is no flow is as good as an empty flow."""
    return FieldMatcher(
        parsed, lambda event: matches(event if isinstance(event, flow_pb2.Flow) else _EMPTY)
    )


_EMPTY = flow_pb2.Flow()
