from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.palomar.v1 import explanation_pb2
from palomar_server.explain.window import STEP_ROWS, Window
from palomar_server.ring import Ring
from palomar_server.testing import START_NS, flow_rows, lost_message, lost_row

if TYPE_CHECKING:
    from palomar_server.table import Mask, Rows

SECOND_NS = 1_000_000_000


def ring_of(count: int, capacity: int = 63) -> Ring:
    ring = Ring(capacity)
    ring.append(flow_rows(count))
    return ring


def everything(rows: Rows) -> Mask:
    return np.ones(len(rows), np.bool_)


def test_newest_rows_come_by_sequence() -> None:
    window = Window(ring_of(10))
    rows, sequences, more = window.newest(everything, 4)
    assert sequences == [6, 7, 8, 9]
    assert (rows["time_ns"] - START_NS).tolist() == [s * SECOND_NS for s in sequences]
    assert more
    assert window.newest(everything, 10)[1:] == (list(range(10)), False)


def test_rows_on_both_sides_of_the_rings_end_are_found() -> None:
    window = Window(ring_of(100))
    assert window.overwritten
    assert window.newest(everything, 100)[1] == list(range(37, 100))
    assert window.newest(everything, 40)[1:] == (list(range(60, 100)), True)
    assert window.count(everything) == 63
    assert window.oldest_ns == START_NS + 37 * SECOND_NS


def test_only_the_time_asked_for_is_looked_at() -> None:
    request = explanation_pb2.ExplainRequest()
    request.since.FromNanoseconds(START_NS + 3 * SECOND_NS)
    request.until.FromNanoseconds(START_NS + 5 * SECOND_NS)
    window = Window.of(ring_of(10), request)
    assert window.newest(everything, 10)[1] == [3, 4, 5]
    assert window.count(everything) == 3
    assert window.oldest_ns == START_NS + 3 * SECOND_NS


def test_times_that_no_calendar_has_are_taken_for_the_nearest() -> None:
    request = explanation_pb2.ExplainRequest()
    request.since.seconds, request.until.seconds = -(1 << 62), 1 << 62
    assert Window.of(ring_of(3), request).count(everything) == 3


def test_rows_that_are_overwritten_meanwhile_are_left_out() -> None:
    ring = ring_of(10, capacity=15)
    window = Window(ring)
    ring.append(flow_rows(12))
    assert window.row(6) is None
    assert window.row(7) is not None
    assert window.row(22) is None
    assert window.newest(everything, 10)[1] == [7, 8, 9]


def test_pieces_come_newest_first() -> None:
    ring = Ring(3 * STEP_ROWS)
    ring.append(flow_rows(2 * STEP_ROWS + 5))
    pieces = [(first, len(rows)) for first, rows in Window(ring).backwards()]
    assert pieces == [(STEP_ROWS + 5, STEP_ROWS), (5, STEP_ROWS), (0, 5)]


def test_notices_of_losses_are_counted() -> None:
    ring = ring_of(3)
    ring.append(lost_row(), [lost_message()])
    assert Window(ring).lost_notices == 1
    assert Window(Ring(7)).oldest_ns == 0
