"""Event types of filters."""

from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.event_type import EventTypePattern, parse_event_types


def test_subtype_counts_where_it_is_asked_for() -> None:
    given = [
        flow_pb2.EventTypeFilter(type=1, sub_type=133),
        flow_pb2.EventTypeFilter(type=1, sub_type=133, match_sub_type=True),
    ]
    assert parse_event_types("event_type", given) == (
        EventTypePattern(1, None),
        EventTypePattern(1, 133),
    )


def test_type_0_is_any_and_subtype_0_is_itself() -> None:
    assert EventTypePattern(0, None).matches(129, 7)
    assert EventTypePattern(0, 0).matches(129, 0)
    assert not EventTypePattern(0, 0).matches(129, 7)
    assert not EventTypePattern(1, None).matches(129, 7)
