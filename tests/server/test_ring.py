from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.cursor import Cursor
from palomar_server.filters.compiled import CompiledFilter
from palomar_server.ring import Ring
from palomar_server.selection import FlowSelection
from palomar_server.table import Kind
from palomar_server.testing import Core, event_row, flow_rows, lost_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palomar_server.table import Rows


def numbered(start: int, count: int) -> Rows:
    """Rows whose columns all follow from their sequence number."""
    rows = flow_rows(count)
    numbers = np.arange(start, start + count, dtype=np.uint64)
    for column in ("time_ns", "bytes", "source_hi", "source_lo", "destination_hi"):
        rows[column] = numbers
    rows["destination_lo"] = ~numbers
    rows["source_port"] = numbers & np.uint64(0xFFFF)
    rows["icmp_code"] = numbers & np.uint64(0xFF)
    return rows


def content(ring: Ring) -> list[tuple[int, int]]:
    """(sequence, time) of every readable row."""
    return [
        (first + index, int(time))
        for first, rows in ring.spans(ring.oldest, ring.next)
        for index, time in enumerate(rows["time_ns"])
    ]


def test_an_empty_ring_has_nothing() -> None:
    ring = Ring(7)
    assert (len(ring), ring.oldest, ring.next, ring.oldest_time_ns) == (0, 0, 0, 0)
    assert content(ring) == []


def test_the_newest_row_is_readable_at_once() -> None:
    ring = Ring(7)
    assert ring.append(numbered(0, 1)) == 0
    assert content(ring) == [(0, 0)]


def test_sequence_numbers_go_on_over_the_wrap() -> None:
    ring = Ring(7)
    firsts = [ring.append(numbered(start, 5)) for start in range(0, 20, 5)]
    assert firsts == [0, 5, 10, 15]
    assert content(ring) == [(number, number) for number in range(13, 20)]
    assert ring.oldest_time_ns == 13


def test_a_batch_that_ends_at_the_last_slot_leaves_the_first_ones() -> None:
    ring = Ring(7)
    ring.append(numbered(0, 3))
    ring.append(numbered(3, 4))
    assert content(ring) == [(number, number) for number in range(7)]


def test_of_a_batch_larger_than_the_ring_the_end_stays() -> None:
    ring = Ring(7)
    ring.append(numbered(0, 2))
    assert ring.append(numbered(2, 20)) == 2
    assert content(ring) == [(number, number) for number in range(15, 22)]


@given(st.lists(st.integers(0, 20), max_size=12))
def test_the_ring_holds_the_last_rows_written(counts: list[int]) -> None:
    ring = Ring(7)
    total = 0
    for count in counts:
        assert ring.append(numbered(total, count)) == total
        total += count
    assert content(ring) == [(number, number) for number in range(max(0, total - 7), total)]
    assert ring.flows_seen == total
    assert len(ring) == min(total, 7)


def test_a_span_over_the_wrap_comes_in_two_views() -> None:
    ring = Ring(7)
    ring.append(numbered(0, 10))
    spans = list(ring.spans(4, 9))
    assert [(first, len(rows)) for first, rows in spans] == [(4, 3), (7, 2)]
    assert all(rows.base is not None for _, rows in spans)


def test_messages_go_with_their_rows() -> None:
    ring = Ring(7)
    ring.append(np.concatenate((lost_row(message=2), flow_rows(2))), [b"unused", b"first"])
    ring.append(np.concatenate((flow_rows(1), lost_row())), [b"second"])
    assert [ring.message(number) for number in range(5)] == [b"first", b"", b"", b"", b"second"]
    ring.append(flow_rows(3))
    assert (ring.message(0), ring.message(4)) == (b"", b"second")
    ring.append(flow_rows(7))
    assert ring.message(4) == b""
    assert not ring._messages
    assert (ring._messages_bytes, ring.messages_dropped) == (0, 0)


def test_messages_of_rows_that_never_fit_are_not_kept() -> None:
    ring = Ring(7)
    ring.append(np.concatenate([lost_row()] * 10), [b"x"])
    assert sorted(ring._messages) == list(range(3, 10))


def test_beyond_their_bytes_the_oldest_messages_make_room() -> None:
    ring = Ring(15, messages_max_bytes=2048)
    rows = np.concatenate([event_row(Kind.AGENT, message=number) for number in (1, 2, 3)])
    ring.append(rows, [b"a" * 500, b"b" * 500, b"c" * 500])
    assert ring.messages_dropped == 0
    ring.append(event_row(Kind.AGENT), [b"d" * 500])
    assert [ring.message(number)[:1] for number in range(4)] == [b"", b"b", b"c", b"d"]
    assert (len(ring), ring.messages_dropped) == (4, 1)
    ring.append(event_row(Kind.AGENT), [b"e" * 3000])
    assert not ring._messages
    assert (len(ring), ring.messages_dropped) == (5, 5)


@given(st.lists(st.lists(st.integers(1, 400), max_size=12), max_size=12))
def test_messages_never_take_more_than_they_may(batches: list[list[int]]) -> None:
    ring = Ring(7, messages_max_bytes=1000)
    written = 0
    for sizes in batches:
        rows = [flow_rows(1), *(lost_row(message=number + 1) for number in range(len(sizes)))]
        ring.append(np.concatenate(rows), [b"x" * size for size in sizes])
        written += len(sizes)
        kept = list(ring._messages.items())
        assert list(ring._messages) == list(ring._message_sequences)
        assert all(sequence >= ring.oldest for sequence, _ in kept)
        assert sum(len(message) for _, message in kept) < ring._messages_bytes or not kept
        assert ring._messages_bytes <= 1000
        assert ring.messages_dropped + len(kept) <= written


def test_only_flows_are_counted_as_seen() -> None:
    ring = Ring(7)
    ring.append(np.concatenate((lost_row(), event_row(Kind.DEBUG), flow_rows(2))), [b"x"])
    assert ring.flows_seen == 2


class Watched(np.ndarray[tuple[int], np.dtype[np.void]]):
    """Rows that note, whenever they are written, what a reader would take for readable."""

    ring: Ring
    readable: list[tuple[int, int]]

    def __array_finalize__(self, source: object) -> None:
        self.ring = getattr(source, "ring", Ring(1))
        self.readable = getattr(source, "readable", [])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.readable.append((self.ring.oldest, self.ring.next))
        super().__setitem__(key, value)


def test_rows_leave_the_readable_ones_before_they_are_written_and_join_them_after() -> None:
    ring = Ring(7)
    ring.append(numbered(0, 5))
    watched = ring._rows.view(Watched)
    watched.ring, watched.readable = ring, []
    ring._rows = watched
    ring.append(numbered(5, 5))
    assert set(watched.readable) == {(3, 5)}
    assert (ring.oldest, ring.next) == (3, 10)


@pytest.fixture
def _eager_threads() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def whole(rows: Rows, sequences: list[int]) -> bool:
    return rows.tobytes() == np.concatenate([numbered(0, 0), *_runs(sequences)]).tobytes()


def _runs(sequences: list[int]) -> list[Rows]:
    if not sequences:
        return []
    assert sequences == list(range(sequences[0], sequences[-1] + 1))
    return [numbered(sequences[0], len(sequences))]


@pytest.mark.usefixtures("_eager_threads")
@pytest.mark.parametrize("capacity", [255, 4095])
def test_a_reader_beside_a_writer_sees_whole_rows_and_counts_the_others(capacity: int) -> None:
    total, ring, news = 600_000, Ring(capacity), threading.Event()

    def write() -> None:
        batches = np.random.default_rng(1).integers(1, 300, total)
        for count in batches.tolist():
            ring.append(numbered(ring.next, min(count, total - ring.next)))
            news.set()
            if ring.next == total:
                return

    core = Core()
    everything = FlowSelection(CompiledFilter((), (), core.surroundings, core.encoder))
    cursor = Cursor(ring, everything, 0, core.encoder)
    writer = threading.Thread(target=write)
    writer.start()
    assert news.wait(10)
    seen = lost = 0
    while cursor.position < total:
        # As often as it can, so that reads fall into writes.
        found = cursor.read(ring.next)
        assert whole(found.rows, found.sequences)
        seen += len(found.rows)
        lost += found.lost
    writer.join(10)
    assert seen + lost == total
