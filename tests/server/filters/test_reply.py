from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import selected

FORWARDED, DROPPED = flow_pb2.FORWARDED, flow_pb2.DROPPED
ROWS = flow_rows(
    6,
    is_reply=[1, 0, -1, 1, 0, -1],
    verdict=[FORWARDED, FORWARDED, FORWARDED, DROPPED, DROPPED, DROPPED],
)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [([True], [0, 3]), ([False], [1, 4, 5]), ([True, False], [0, 1, 3, 4, 5])],
)
def test_an_unknown_direction_matches_nothing_but_drops_count_as_no_reply(
    wanted: list[bool], expected: list[int]
) -> None:
    assert selected(ROWS, reply=wanted) == expected
