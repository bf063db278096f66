"""The ring: the last events of this node, written by one thread and read by many without a lock.

            oldest ▼                     next ▼
    … lost ──┤ readable rows ─────────────────┤ not yet written

A sequence number counts every event ever written and never repeats; row `sequence % capacity` holds
it while `oldest <= sequence < next`. The writer first moves `oldest` past the rows it is about to
overwrite, then writes, then moves `next`: whoever copies rows and then finds `oldest` still at or
below them has copied whole rows. The newest row is readable as soon as `next` has moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.table import FLOW, Kind, opaque

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from palomar_server.table import Rows

DEFAULT_CAPACITY = 65_535


class Ring:
    """A fixed number of rows, the oldest overwritten by the newest.

    Args:
        capacity: rows held, one less than a power of two as in Hubble.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        self.capacity = capacity
        self._rows = np.zeros(capacity, FLOW)
        self._oldest = 0
        self._next = 0
        self._messages: dict[int, bytes] = {}
        self.flows_seen = 0
        """Flows ever written; other kinds of events are not counted."""

    def __len__(self) -> int:
        # While a batch larger than the ring is written, everything there is on its way out.
        return max(0, self._next - self._oldest)

    @property
    def oldest(self) -> int:
        """The lowest sequence number that is still there."""
        return self._oldest

    @property
    def next(self) -> int:
        """The sequence number that the next event will get."""
        return self._next

    @property
    def oldest_time_ns(self) -> int:
        """Time of the oldest event, UTC ns; 0 while the ring is empty. For the writer's thread."""
        return int(self._rows["time_ns"][self._oldest % self.capacity]) if len(self) else 0

    def append(self, rows: Rows, messages: Mapping[int, bytes] | None = None) -> int:
        """Write events. For the one writer only.

        Args:
            rows: what to write, in order.
            messages: serialised content of rows that are not flows, by index into `rows`.

        Returns:
            The sequence number of the first row.
        """
        first = self._next
        count = len(rows)
        end = first + count
        flows = int(np.count_nonzero(rows["kind"] == Kind.FLOW))
        if count > self.capacity:
            rows = rows[count - self.capacity :]
        start = end - len(rows)
        self._oldest = max(self._oldest, end - self.capacity)
        source, target = opaque(rows), opaque(self._rows)
        slot = start % self.capacity
        head = min(len(rows), self.capacity - slot)
        target[slot : slot + head] = source[:head]
        target[: len(rows) - head] = source[head:]
        for index, message in (messages or {}).items():
            self._messages[first + index] = message
        while self._messages and next(iter(self._messages)) < self._oldest:
            del self._messages[next(iter(self._messages))]
        self.flows_seen += flows
        self._next = end
        return first

    def spans(self, start: int, end: int) -> Iterator[tuple[int, Rows]]:
        """The rows from `start` up to `end` as at most two views, each with its first sequence.

        The views are the ring's own memory: copy what matters, then ask `oldest` whether it still
        was there.
        """
        while start < end:
            slot = start % self.capacity
            count = min(end - start, self.capacity - slot)
            yield start, self._rows[slot : slot + count]
            start += count

    def message(self, sequence: int) -> bytes:
        """The serialised content of an event that is not a flow; empty once it is overwritten."""
        return self._messages.get(sequence, b"")
