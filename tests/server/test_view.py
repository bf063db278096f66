from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.table import Kind
from palomar_server.testing import Core, event_row, flow_rows, lost_message, lost_row, view_of
from palomar_server.view import FLOWS_SHARED_MAX, View, Views

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_server.table import Mask

HTTP = flow_pb2.Flow(Summary="GET /").SerializeToString()


class Builder:
    """Builds flows whose summary is the row's port, and counts them."""

    def __init__(self) -> None:
        self.asked: list[tuple[int | None, bytes]] = []

    def flow(self, row: Any, sequence: int | None = None, *, content: bytes = b"") -> flow_pb2.Flow:
        """See `view.FlowSource`."""
        self.asked.append((sequence, content))
        return flow_pb2.Flow(Summary=str(row["source_port"]))


def ports_view(builder: Builder, **options: Any) -> View:
    rows = flow_rows(4, source_port=[1, 2, 3, 4])
    return View(rows, 100, lambda _: b"", builder, **options)


def test_a_view_is_as_long_as_its_rows() -> None:
    view = ports_view(Builder())
    assert len(view) == 4
    assert len(view.take(np.array([1, 3]))) == 2


def test_rows_and_columns_of_a_taken_view_are_those_chosen() -> None:
    view = ports_view(Builder())
    assert view.column("source_port").tolist() == [1, 2, 3, 4]
    some = view.take(np.array([False, True, True, True]))
    assert some.column("source_port").tolist() == [2, 3, 4]
    assert some.rows["source_port"].tolist() == [2, 3, 4]
    less = some.take(np.array([2, 0]))
    assert less.column("source_port").tolist() == less.rows["source_port"].tolist() == [4, 2]
    assert less.rows is less.rows


def test_rows_keep_their_number_in_every_view() -> None:
    view = ports_view(Builder())
    assert view.numbers().tolist() == [100, 101, 102, 103]
    some = view.take(np.array([1, 3])).take(np.array([False, True]))
    assert some.numbers().tolist() == [103]
    assert some.number(0) == 103
    assert view.number(2) == 102


def test_a_flow_is_built_once_for_all_views_of_a_look() -> None:
    builder = Builder()
    view = ports_view(builder)
    assert view.flow(2).Summary == "3"
    assert view.take(np.array([2])).flow(0) is view.flow(2)
    assert builder.asked == [(102, b"")]
    assert view.flows_built == view.take(np.array([0])).flows_built == 1


def test_events_of_a_batch_have_no_sequence_yet() -> None:
    builder = Builder()
    ports_view(builder, in_ring=False).take(np.array([1])).flow(0)
    assert builder.asked == [(None, b"")]


def test_the_message_of_a_row_goes_into_its_flow() -> None:
    rows = flow_rows(3, message=[0, 1, 0])
    view = view_of(rows, [HTTP], first=7)
    assert [view.content(index) for index in range(3)] == [b"", HTTP, b""]
    assert [view.flow(index).Summary for index in range(2)] == ["TCP Flags: ", "GET /"]
    assert view.take(np.array([1])).content(0) == HTTP


def test_a_row_whose_message_is_gone_is_an_empty_flow() -> None:
    view = View(flow_rows(1, message=1), 0, lambda _: b"", Builder())
    assert view.flow(0) == flow_pb2.Flow()


@pytest.mark.parametrize(
    "rows",
    [lost_row, lambda: event_row(Kind.AGENT), lambda: event_row(Kind.DEBUG)],
    ids=["lost", "agent", "debug"],
)
def test_what_is_no_flow_is_an_empty_one(rows: Callable[[], Any]) -> None:
    view = view_of(rows(), [lost_message()])
    assert view.flow(0) == flow_pb2.Flow()
    assert view.content(0) == lost_message()


@pytest.mark.parametrize(
    "torn",
    [
        {"source_endpoint": 4_000_000_000},
        {"interface": 4_000_000_000},
        {"message": 1},
        {"verdict": flow_pb2.DROPPED, "drop_site": 9, "event_type": 1, "drop_reason": 1_002},
    ],
)
def test_a_row_that_refers_to_nothing_there_is_an_empty_flow(torn: dict[str, int]) -> None:
    view = view_of(flow_rows(1, **torn), [b"\xff\xff"])
    assert view.flow(0) == flow_pb2.Flow()


def test_what_a_message_says_is_told_without_what_the_server_adds() -> None:
    rows = flow_rows(3, message=[1, 2, 0], kind=[Kind.FLOW, Kind.AGENT, Kind.FLOW])
    view = View(rows, 0, lambda number: (HTTP, HTTP, b"")[number], Builder())
    assert view.told(0) == flow_pb2.Flow(Summary="GET /")
    assert view.told(1) == view.told(2) == flow_pb2.Flow()
    assert view.take(np.array([0])).told(0) is view.told(0)


def test_a_message_that_is_none_is_an_empty_flow() -> None:
    view = View(flow_rows(1, message=1), 0, lambda _: b"\xff\xff", Builder())
    assert view.told(0) == flow_pb2.Flow()


def test_what_rows_pass_is_asked_once_for_all_who_share_a_view() -> None:
    rows = flow_rows(4, verdict=[1, 2, 1, 2])
    views = Views(lambda _: b"", Core().encoder)
    asked: list[int] = []

    def dropped(view: View) -> Mask:
        asked.append(len(view))
        mask: Mask = view.column("verdict") == 2
        return mask

    for _ in range(2):
        which, some = views.of(10, rows).where(dropped)
        assert which.tolist() == [1, 3]
        assert some.numbers().tolist() == [11, 13]
    assert asked == [4]
    views.of(14, rows).where(dropped)
    views.of(14, rows[:2]).where(dropped)
    assert asked == [4, 4, 2]


def test_shared_views_hold_few_flows_between_two_looks() -> None:
    rows = flow_rows(FLOWS_SHARED_MAX + 1)
    views = Views(lambda _: b"", Core().encoder)
    view = views.of(0, rows)
    for index in range(len(rows)):
        assert views.of(0, rows) is view
        view.flow(index)
    assert views.of(0, rows) is not view
    view = views.of(0, rows)
    views.forget()
    assert views.of(0, rows) is view
