from __future__ import annotations

from palomar_server.testing import flow_rows
from tests.server.filters.selecting import content, selected

ROWS = flow_rows(3, source_identity=[0, 1_000, (1 << 32) - 1], destination_identity=[2, 1_000, 0])


def test_each_end_matches_by_the_identity_of_the_row() -> None:
    assert selected(ROWS, source_identity=[1_000]) == [1]
    assert selected(ROWS, source_identity=[(1 << 32) - 1, 0]) == [0, 2]
    assert selected(ROWS, destination_identity=[2, 3, 4, 5, 1_000]) == [0, 1]


def test_an_end_that_a_message_does_not_have_is_no_identity_0() -> None:
    messages = [content(source={}), content()]
    rows = flow_rows(2, message=[1, 2])
    assert selected(rows, messages=messages, source_identity=[0]) == [0]
