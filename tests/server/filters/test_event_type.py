from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.table import Kind
from palomar_server.testing import event_row, flow_rows
from tests.server.filters.selecting import content, selected

Type = flow_pb2.EventTypeFilter
ROWS = flow_rows(4, event_type=[1, 1, 4, 4], event_subtype=[0, 133, 0, 133])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([Type(type=1)], [0, 1]),
        ([Type(type=4, match_sub_type=True, sub_type=0)], [2]),
        ([Type(type=4, sub_type=133)], [2, 3]),
        ([Type(match_sub_type=True, sub_type=133)], [1, 3]),
        ([Type()], [0, 1, 2, 3]),
        ([Type(type=1, match_sub_type=True, sub_type=133), Type(type=4)], [1, 2, 3]),
        ([Type(type=130)], []),
        ([Type(type=-1), Type(type=257)], []),
        ([Type(match_sub_type=True, sub_type=389)], []),
    ],
)
def test_type_and_subtype_match_where_they_are_asked_for(
    wanted: list[Type], expected: list[int]
) -> None:
    assert selected(ROWS, event_type=wanted) == expected


def test_agent_and_debug_events_have_types_too() -> None:
    agent = flow_pb2.AgentEvent(type=flow_pb2.AGENT_STARTED).SerializeToString()
    rows = event_row(Kind.AGENT)
    rows["event_subtype"] = flow_pb2.AGENT_STARTED
    assert selected(rows, messages=[agent], event_type=[Type(type=130)]) == [0]
    started = Type(type=130, match_sub_type=True, sub_type=flow_pb2.AGENT_STARTED)
    assert selected(rows, messages=[agent], event_type=[started]) == [0]
    assert selected(event_row(Kind.DEBUG), messages=[b""], event_type=[Type(type=2)]) == [0]


def test_a_message_from_elsewhere_may_have_a_type_or_subtype_that_no_column_holds() -> None:
    messages = [
        content(Summary="no type"),
        content(event_type={"type": 4, "sub_type": 300}),
    ]
    rows = flow_rows(2, event_type=[0, 4], message=[1, 2])
    assert selected(rows, messages=messages, event_type=[Type()]) == [1]
    wanted = Type(type=4, match_sub_type=True, sub_type=300)
    assert selected(rows, messages=messages, event_type=[wanted]) == [1]
