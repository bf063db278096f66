"""What Explain looks at: the part of the ring within the time asked for, copied row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.table import FLOW, Kind, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from google.protobuf.timestamp_pb2 import Timestamp
    from numpy.typing import NDArray

    from palomar_proto.palomar.v1 import explanation_pb2
    from palomar_server.ring import Ring
    from palomar_server.table import Mask, Rows

    Bounds: TypeAlias = Callable[[Rows, int, NDArray[np.intp]], Mask]
    """Tells which of some rows may be seen: rows, the sequence of the first, which of them."""

_NS_PER_S = 1_000_000_000
_TIME_MAX_NS = (1 << 64) - 1
STEP_ROWS = 8_192
"""Rows looked at at once when the newest are wanted: few, as the search mostly ends with them."""


class Window:
    """A part of the ring, for one look.

    Args:
        ring: the events.
        since_ns: only events at or after this time, UTC ns.
        until_ns: only events up to this time.
        bounds: only events that pass this too.
    """

    def __init__(
        self,
        ring: Ring,
        since_ns: int = 0,
        until_ns: int = _TIME_MAX_NS,
        bounds: Bounds | None = None,
    ) -> None:
        self._ring = ring
        self._bounds = bounds
        self._since_ns, self._until_ns = np.uint64(since_ns), np.uint64(until_ns)
        self._whole = since_ns == 0 and until_ns == _TIME_MAX_NS
        self.start, self.end = ring.oldest, ring.next
        self.overwritten = self.start > 0
        """Whether there were events before those that are left."""

    @classmethod
    def of(
        cls, ring: Ring, request: explanation_pb2.ExplainRequest, bounds: Bounds | None = None
    ) -> Window:
        """The part of the ring that a request is about."""
        since = clamped_ns(request.since) if request.HasField("since") else 0
        until = clamped_ns(request.until) if request.HasField("until") else _TIME_MAX_NS
        return cls(ring, since, until, bounds)

    def in_time(self, rows: Rows) -> Mask:
        """Which rows are within the time asked for, shape (n,)."""
        if self._whole:
            return np.ones(len(rows), np.bool_)
        times = rows["time_ns"]
        mask: Mask = times >= self._since_ns
        mask &= times <= self._until_ns
        return mask

    def backwards(self) -> Iterator[tuple[int, Rows]]:
        """Pieces of the ring, newest first, each with the sequence of its first row."""
        end = self.end
        while end > self.start:
            start = max(self.start, end - STEP_ROWS)
            yield from reversed(list(self._ring.spans(start, end)))
            end = start

    def row(self, sequence: int) -> Rows | None:
        """A copy of one row, shape (1,); None where it is not in the ring any more."""
        if not self.start <= sequence < self.end:
            return None
        [(_, rows)] = self._ring.spans(sequence, sequence + 1)
        row = rows.copy()
        if not self._within(sequence, row, np.zeros(1, np.intp)).size:
            return None
        return row if self._ring.oldest <= sequence else None

    def newest(self, chosen: Callable[[Rows], Mask], rows_max: int) -> tuple[Rows, list[int], bool]:
        """Copies of the newest rows of some kind.

        Args:
            chosen: tells which rows, shape (n,).
            rows_max: how many at most.

        Returns:
            The rows by sequence, their sequences, and whether there were more.
        """
        pieces: list[Rows] = []
        sequences: list[int] = []
        for first, rows in self._spans_backwards():
            which = (chosen(rows) & self.in_time(rows)).nonzero()[0]
            which = self._within(first, rows, which)
            room = rows_max - len(sequences)
            pieces.insert(0, take(rows, which[-room:] if room else which[:0]))
            sequences[:0] = (first + which[-room:] if room else which[:0]).tolist()
            if len(which) > room:
                return *self._still_there(pieces, sequences), True
        return *self._still_there(pieces, sequences), False

    def count(self, chosen: Callable[[Rows], Mask]) -> int:
        """How many rows of some kind there are."""
        return sum(
            len(self._within(first, rows, (chosen(rows) & self.in_time(rows)).nonzero()[0]))
            for first, rows in self._spans_backwards()
        )

    @property
    def lost_notices(self) -> int:
        """How many notices of lost events there are."""
        return self.count(lambda rows: rows["kind"] == Kind.LOST)

    @property
    def oldest_ns(self) -> int:
        """Time of the oldest row looked at, UTC ns; 0 where there are none."""
        times = [
            int(rows["time_ns"][mask].min())
            for _, rows in self._spans_backwards()
            if np.count_nonzero(mask := self.in_time(rows))
        ]
        return min(times, default=0)

    def message(self, sequence: int) -> bytes:
        """The message of a row; empty where there is none any more."""
        return self._ring.message(sequence)

    def _within(self, first: int, rows: Rows, which: NDArray[np.intp]) -> NDArray[np.intp]:
        """Those of some rows that are within the bounds."""
        if self._bounds is None or not which.size:
            return which
        return which[self._bounds(rows, first, which)]

    def _spans_backwards(self) -> list[tuple[int, Rows]]:
        # Rows that the writer overwrites in the meantime are left out where they are copied.
        return list(self._ring.spans(max(self.start, self._ring.oldest), self.end))[::-1]

    def _still_there(self, pieces: list[Rows], sequences: list[int]) -> tuple[Rows, list[int]]:
        rows: Rows = np.concatenate(pieces) if pieces else np.zeros(0, FLOW)
        gone = int(np.searchsorted(np.array(sequences, np.int64), self._ring.oldest))
        return rows[gone:], sequences[gone:]


def apart_ns(times_ns: NDArray[np.uint64], time_ns: int) -> NDArray[np.uint64]:
    """How far times are from another one, shape (n,); exact for all that a row can have."""
    other = np.uint64(time_ns)
    return np.maximum(times_ns, other) - np.minimum(times_ns, other)


def clamped_ns(stamp: Timestamp) -> int:
    """UTC ns of a time in a request; the nearest that a row can have."""
    # Not ToNanoseconds, which refuses times that protobuf can carry but no calendar has.
    return min(max(stamp.seconds * _NS_PER_S + stamp.nanos, 0), _TIME_MAX_NS)
