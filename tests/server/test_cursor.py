from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_server import cursor as cursor_module
from palomar_server.cursor import Cursor
from palomar_server.ring import Ring
from palomar_server.selection import KindSelection
from palomar_server.table import Kind
from palomar_server.testing import Core, event_row, flow_rows, lost_message, lost_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_server.table import Mask
    from palomar_server.view import View


FLOWS = Core().encoder


class Selected:
    """Rows whose source port is a multiple of a number, and loss notices."""

    def __init__(self, every: int = 1, before: Callable[[], object] = lambda: None) -> None:
        self._every = every
        self._before = before
        self.rows_at_once = 16_384

    kind = Kind.FLOW
    tells_losses = True

    def passing(self, view: View) -> Mask:
        mask: Mask = self.mask(view) & (view.rows["kind"] != Kind.LOST)
        return mask

    def surely_none(self, view: View) -> bool:
        return False

    def mask(self, view: View) -> Mask:
        self._before()
        rows = view.rows
        mask: Mask = rows["source_port"] % self._every == 0
        mask |= rows["kind"] == Kind.LOST
        return mask


def ring_of(count: int, capacity: int = 15) -> Ring:
    """Flows whose source port is their sequence number, modulo 2^16, and whose time as well."""
    ring = Ring(capacity)
    numbers = np.arange(count) & 0xFFFF
    ring.append(flow_rows(count, source_port=numbers, time_ns=numbers))
    return ring


def read_all(cursor: Cursor, ring: Ring) -> tuple[list[int], int]:
    sequences: list[int] = []
    lost = 0
    while cursor.position < ring.next:
        found = cursor.read(ring.next)
        assert [number & 0xFFFF for number in found.sequences] == (
            found.rows["source_port"].tolist()
        )
        sequences += found.sequences
        lost += found.lost
    return sequences, lost


def test_a_read_selects_and_moves_on() -> None:
    ring = ring_of(10)
    cursor = Cursor(ring, Selected(every=3), 2, FLOWS)
    found = cursor.read(ring.next)
    assert (found.sequences, found.lost, cursor.position) == ([3, 6, 9], 0, 10)
    assert cursor.read(ring.next).sequences == []


def test_a_read_ends_where_it_is_told_to() -> None:
    ring = ring_of(10)
    cursor = Cursor(ring, Selected(), 2, FLOWS)
    assert cursor.read(5).sequences == [2, 3, 4]
    assert cursor.position == 5
    assert cursor.read(3).sequences == []
    assert cursor.position == 5


def test_rows_are_copies() -> None:
    ring = ring_of(3)
    found = Cursor(ring, Selected(), 0, FLOWS).read(3)
    ring.append(flow_rows(15))
    assert found.rows["source_port"].tolist() == [0, 1, 2]


def test_since_and_until_are_inclusive() -> None:
    ring = ring_of(10)
    cursor = Cursor(ring, Selected(), 0, FLOWS, since_ns=3, until_ns=5)
    assert cursor.read(ring.next).sequences == [3, 4, 5]
    assert (cursor.ended, cursor.position) == (True, 6)


def test_times_need_not_be_in_order() -> None:
    ring = Ring(15)
    ring.append(flow_rows(5, time_ns=[5, 1, 4, 2, 3], source_port=range(5)))
    assert read_all(Cursor(ring, Selected(), 0, FLOWS, since_ns=3), ring) == ([0, 2, 4], 0)


def test_the_first_event_that_is_too_late_ends_the_reading() -> None:
    ring = Ring(15)
    ring.append(flow_rows(5, time_ns=[5, 1, 9, 2, 3], source_port=range(5)))
    cursor = Cursor(ring, Selected(), 0, FLOWS, until_ns=6)
    assert cursor.read(5).sequences == [0, 1]
    assert (cursor.ended, cursor.position) == (True, 2)


def test_an_event_of_any_kind_ends_it_but_no_loss_notice() -> None:
    ring = Ring(15)
    ring.append(np.concatenate((lost_row(9), event_row(Kind.AGENT, 9, 2))), [b"l", b"a"])
    cursor = Cursor(ring, KindSelection(Kind.DEBUG), 0, FLOWS, until_ns=6)
    cursor.read(2)
    assert (cursor.ended, cursor.position) == (True, 1)


def test_rewinding_with_since_stops_behind_the_last_older_event_that_passes() -> None:
    ring = Ring(15)
    ring.append(flow_rows(6, time_ns=[0, 5, 2, 6, 3, 7], source_port=[0, 2, 2, 2, 1, 2]))
    cursor = Cursor(ring, Selected(), ring.next, FLOWS, since_ns=4)
    cursor.rewind()
    assert cursor.position == 5
    cursor = Cursor(ring, Selected(every=2), ring.next, FLOWS, since_ns=4)
    cursor.rewind()
    assert cursor.position == 3


def test_rewinding_stops_behind_a_notice_of_a_lapped_reader() -> None:
    ring = Ring(15)
    lapped = flow_pb2.LostEvent(source=flow_pb2.HUBBLE_RING_BUFFER)
    for message in (lapped.SerializeToString(), lost_message()):
        ring.append(np.concatenate((flow_rows(2), lost_row())), [message])
    for events in (0, 5, 100):
        cursor = Cursor(ring, Selected(), ring.next, FLOWS)
        cursor.rewind(events)
        assert cursor.position == 3


def test_loss_notices_are_selected_whatever_the_time() -> None:
    ring = Ring(15)
    ring.append(np.concatenate((lost_row(time_ns=1), flow_rows(1, time_ns=5))), [b"x"])
    cursor = Cursor(ring, Selected(), 0, FLOWS, since_ns=5, until_ns=5)
    assert cursor.read(2).sequences == [0, 1]
    cursor = Cursor(ring, Selected(), 0, FLOWS, since_ns=0, until_ns=0)
    assert cursor.read(2).sequences == [0]


def test_messages_come_with_their_rows_and_stay() -> None:
    ring = Ring(7)
    ring.append(np.concatenate((flow_rows(1), lost_row(), flow_rows(1, message=2))), [b"l", b"f"])
    found = Cursor(ring, Selected(), 0, FLOWS).read(3)
    ring.append(flow_rows(7))
    assert (found.sequences, found.messages) == ([0, 1, 2], {1: b"l", 2: b"f"})


def test_a_row_whose_message_made_room_counts_as_lost() -> None:
    ring = Ring(7, messages_max_bytes=600)
    rows = np.concatenate((flow_rows(1), *(flow_rows(1, message=one) for one in (1, 2))))
    ring.append(rows, [b"a" * 300, b"b" * 300])
    found = Cursor(ring, Selected(), 0, FLOWS).read(3)
    assert (found.sequences, found.lost) == ([0, 2], 1)
    assert found.messages == {2: b"b" * 300}
    assert len(found.rows) == 2
    # Only to a reader that asked for it.
    assert Cursor(ring, KindSelection(Kind.AGENT), 0, FLOWS).read(3).lost == 0


def test_long_messages_come_in_several_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor_module, "TAKE_MESSAGES_MAX_BYTES", 1000)
    ring = Ring(15)
    for _ in range(3):
        rows = np.concatenate((flow_rows(1), flow_rows(1, message=1), flow_rows(1, message=1)))
        ring.append(rows, [b"x" * 500])
    cursor = Cursor(ring, Selected(), 0, FLOWS)
    reads = [cursor.read(9) for _ in range(3)]
    assert [found.sequences for found in reads] == [[0, 1, 2, 3], [4, 5, 6], [7, 8]]
    assert [sorted(found.messages) for found in reads] == [[1, 2], [4, 5], [7, 8]]
    assert cursor.position == 9
    assert [found.lost for found in reads] == [0, 0, 0]


def test_the_largest_times_of_a_request_can_be_asked_for() -> None:
    ring = ring_of(3)
    cursor = Cursor(ring, Selected(), 0, FLOWS, since_ns=0, until_ns=2**64 - 1)
    assert read_all(cursor, ring) == ([0, 1, 2], 0)


def test_a_long_stretch_is_looked_at_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor_module, "TAKE_ROWS_MAX", 4)
    ring = ring_of(10)
    cursor = Cursor(ring, Selected(), 0, FLOWS)
    assert [cursor.read(10).sequences for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_little_is_looked_for_further_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor_module, "TAKE_ROWS_MAX", 4)
    selected = Selected(every=1000)
    selected.rows_at_once = 16
    cursor = Cursor(ring_of(63, capacity=63), selected, 1, FLOWS)
    positions = []
    for _ in range(4):
        assert cursor.read(63).sequences == []
        positions.append(cursor.position)
    assert positions == [5, 13, 29, 45]


@given(st.integers(1, 40), st.integers(0, 62), st.integers(1, 9))
def test_reads_give_every_selected_event_once_and_in_order(
    start: int, end: int, every: int
) -> None:
    ring = ring_of(90, capacity=63)
    cursor = Cursor(ring, Selected(every=every), start + 27, FLOWS)
    cursor._scan_rows = 3
    found: list[int] = []
    while cursor.position < end + 28:
        found += cursor.read(end + 28).sequences
    assert found == [n for n in range(max(start + 27, 27), end + 28) if n % every == 0]


def test_what_the_writer_took_before_the_read_is_lost() -> None:
    ring = ring_of(10, capacity=7)
    found = Cursor(ring, Selected(every=5), 1, FLOWS).read(ring.next)
    assert (found.sequences, found.lost) == ([5], 2)


def test_nothing_behind_the_end_of_a_read_counts_as_lost() -> None:
    ring = ring_of(5, capacity=7)
    cursor = Cursor(ring, Selected(), 2, FLOWS)
    ring.append(flow_rows(100))
    found = cursor.read(5)
    assert (found.sequences, found.lost, cursor.position) == ([], 3, 5)
    found = cursor.read(ring.next)
    assert (found.lost, len(found.sequences), cursor.position) == (93, 7, 105)


@pytest.mark.parametrize(("taken", "left", "lost"), [(3, [3, 4, 5, 6], 3), (7, [], 7), (50, [], 7)])
def test_rows_the_writer_takes_during_the_read_are_lost_and_not_torn(
    taken: int, left: list[int], lost: int
) -> None:
    ring = ring_of(7, capacity=7)

    def write() -> None:
        if ring.next == 7:
            ring.append(flow_rows(taken, source_port=99))

    cursor = Cursor(ring, Selected(before=write), 0, FLOWS)
    found = cursor.read(7)
    assert (found.sequences, found.lost, cursor.position) == (left, lost, 7)
    assert found.rows["source_port"].tolist() == left


@given(st.lists(st.integers(0, 12), max_size=20), st.lists(st.booleans(), max_size=20))
def test_every_event_is_seen_or_counted_as_lost(counts: list[int], reads: list[bool]) -> None:
    ring = Ring(7)
    cursor = Cursor(ring, Selected(), 0, FLOWS)
    seen = lost = 0
    for count, read in zip(counts, [*reads, *[False] * 20], strict=False):
        ring.append(flow_rows(count, source_port=np.arange(ring.next, ring.next + count)))
        if read:
            sequences, missed = read_all(cursor, ring)
            seen, lost = seen + len(sequences), lost + missed
    sequences, missed = read_all(cursor, ring)
    assert seen + len(sequences) + lost + missed == ring.next


@pytest.mark.parametrize(("flows", "first"), [(1, 12), (2, 9), (4, 3), (5, 0), (2**64 - 1, 0)])
def test_rewinding_counts_selected_flows(flows: int, first: int) -> None:
    ring = ring_of(14)
    cursor = Cursor(ring, Selected(every=3), ring.next, FLOWS)
    cursor.rewind(flows)
    assert cursor.position == first


def test_rewinding_over_the_wrap_stops_at_the_oldest_row() -> None:
    ring = ring_of(40, capacity=15)
    cursor = Cursor(ring, Selected(every=10), ring.next, FLOWS)
    cursor.rewind(1)
    assert cursor.position == 30
    cursor = Cursor(ring, Selected(every=10), ring.next, FLOWS)
    cursor.rewind(2)
    assert cursor.position == ring.oldest == 25


def test_rewinding_does_not_count_loss_notices() -> None:
    ring = Ring(15)
    for _ in range(3):
        ring.append(np.concatenate((flow_rows(1), lost_row())), [b"x"])
    cursor = Cursor(ring, Selected(), ring.next, FLOWS)
    cursor.rewind(2)
    assert cursor.position == 2


def test_rewinding_an_empty_ring_stays() -> None:
    cursor = Cursor(Ring(7), Selected(), 0, FLOWS)
    cursor.rewind(3)
    assert cursor.position == 0


@pytest.mark.parametrize("flows", [1, 2, 3, 4])
def test_sparse_flows_are_found_far_back(flows: int) -> None:
    ring = ring_of(65_535, capacity=65_535)
    cursor = Cursor(ring, Selected(every=20_000), ring.next, FLOWS)
    cursor.rewind(flows)
    assert cursor.position == 80_000 - flows * 20_000
    assert read_all(cursor, ring) == ([80_000 - back * 20_000 for back in range(flows, 0, -1)], 0)


class Surely(Selected):
    """Says at a glance that nothing is selected."""

    def surely_none(self, view: View) -> bool:
        self._before()
        return True


def test_what_a_glance_rules_out_is_passed() -> None:
    ring = ring_of(10)
    cursor = Cursor(ring, Surely(), 2, Core().encoder)
    assert cursor.passes(ring.next)
    assert cursor.position == 10
    assert not Cursor(ring, Selected(), 2, Core().encoder).passes(ring.next)


def test_a_loss_is_not_passed() -> None:
    ring = ring_of(10)
    cursor = Cursor(ring, Surely(before=lambda: ring.append(flow_rows(15))), 2, Core().encoder)
    assert not cursor.passes(10)
    assert cursor.position == 2
    lapped = Cursor(ring, Surely(), 2, Core().encoder)
    assert not lapped.passes(10)
