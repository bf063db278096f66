from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.event_type import ACCESS_LOG
from palomar_server.filters.predicate import constant, has_flags, is_flow, one_of, with_messages
from palomar_server.table import FLOW, Kind
from palomar_server.testing import flow_rows, view_of

if TYPE_CHECKING:
    from palomar_proto.flow_filter import Event


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([1], [1]),
        ([0, 255], [0, 2]),
        ([-1, 256, 1 << 30], []),
        ([1, 1, 300], [1]),
        ([1, 2, 3, 4, 255], [1, 2]),
    ],
)
def test_small_numbers_are_looked_up(values: list[int], expected: list[int]) -> None:
    rows = flow_rows(3, verdict=[0, 1, 255])
    assert one_of("verdict", values)(view_of(rows)).nonzero()[0].tolist() == expected


@pytest.mark.parametrize("column", ["source_port", "source_identity", "ip_trace_id"])
def test_so_are_large_ones(column: str) -> None:
    largest = (1 << 8 * FLOW[column].itemsize) - 1
    rows = flow_rows(3, **{column: [0, largest, 7]})
    for values in ([largest], [largest, 1, 2, 3, 4], [largest, largest + 1]):
        assert one_of(column, values)(view_of(rows)).tolist() == [False, True, False]


def test_all_bits_must_be_set() -> None:
    assert has_flags(3)(view_of(flow_rows(3, flags=[1, 3, 7]))).tolist() == [False, True, True]


def test_flows_are_told_from_other_events() -> None:
    rows = flow_rows(4, kind=[Kind.FLOW, Kind.LOST, Kind.AGENT, Kind.DEBUG])
    assert is_flow(view_of(rows)).tolist() == [True, False, False, False]


def test_a_constant_is_a_new_mask_each_time() -> None:
    view = view_of(flow_rows(2))
    first = constant(answer=True)(view)
    first[:] = False
    assert constant(answer=True)(view).tolist() == [True, True]


def test_messages_decide_on_flows_that_have_one_and_columns_on_the_rest() -> None:
    rows = flow_rows(4, message=[0, 1, 2, 3], kind=[0, 0, 0, Kind.AGENT])
    rows["event_type"][2] = ACCESS_LOG
    contents = [flow_pb2.Flow(Summary=text).SerializeToString() for text in "abc"]
    asked: list[str] = []

    def test(event: Event) -> bool:
        assert isinstance(event, flow_pb2.Flow)
        asked.append(event.Summary)
        return True

    view = view_of(rows, contents)
    no = constant(answer=False)
    assert with_messages(no, test)(view).tolist() == [False, True, True, False]
    assert asked == ["a", "b"]
    mask = with_messages(no, test, but_access_logs=True)(view)
    assert mask.tolist() == [False, True, False, False]
