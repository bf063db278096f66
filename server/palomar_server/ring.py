"""The ring: the last events of this node, written by one thread and read by many without a lock.

            oldest ▼                     next ▼
    … lost ──┤ readable rows ─────────────────┤ not yet written

A sequence number counts every event ever written and never repeats; row `sequence % capacity` holds
it while `oldest <= sequence < next`. The writer first moves `oldest` past the rows it is about to
overwrite, then writes, then moves `next`: whoever copies rows and then finds `oldest` still at or
below them has copied whole rows. The newest row is readable as soon as `next` has moved.

Content that columns have no room for lies beside the rows, up to a number of bytes of its own: one
row of an HTTP request may bring a thousand times what a row takes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from palomar_server.table import FLOW, Kind, opaque

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from palomar_server.table import Rows

DEFAULT_CAPACITY = 65_535
DEFAULT_MESSAGES_MAX_BYTES = 64 << 20
"""A full ring of messages of 1 KiB, which is about what a request with its headers takes."""

_MESSAGE_OVERHEAD_BYTES = 128
"""What Python adds to a message: its object, its place in the dictionary and its number there."""


class Ring:
    """A fixed number of rows, the oldest overwritten by the newest.

    Args:
        capacity: rows held, one less than a power of two as in Hubble.
        messages_max_bytes: memory for the messages of rows; beyond it the oldest are dropped, while
            their rows stay.
    """

    def __init__(
        self,
        capacity: int = DEFAULT_CAPACITY,
        messages_max_bytes: int = DEFAULT_MESSAGES_MAX_BYTES,
    ) -> None:
        self.capacity = capacity
        self._messages_max_bytes = messages_max_bytes
        self._rows = np.zeros(capacity, FLOW)
        self._oldest = 0
        self._next = 0
        self._messages: dict[int, bytes] = {}
        self._message_sequences: deque[int] = deque()
        """The keys of these, oldest first: a dictionary is slow to find its first one, for it walks
        past all that were removed there."""
        self._messages_bytes = 0
        self.flows_seen = 0
        """Flows ever written; other kinds of events are not counted."""
        self.last_notice = -1
        """The sequence number of the newest loss notice; -1 without any."""
        self.messages_dropped = 0
        """Messages dropped before their rows were overwritten."""

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

    def append(self, rows: Rows, messages: Sequence[bytes] = ()) -> int:
        """Write events. For the one writer only.

        Args:
            rows: what to write, in order.
            messages: what the rows' column `message` counts.

        Returns:
            The sequence number of the first row.
        """
        first = self._next
        count = len(rows)
        end = first + count
        kinds = rows["kind"]
        flows = int(np.count_nonzero(kinds == Kind.FLOW))
        if flows != count and np.count_nonzero(notices := kinds == Kind.LOST):
            self.last_notice = first + int(notices.nonzero()[0][-1])
        if count > self.capacity:
            rows = rows[count - self.capacity :]
        start = end - len(rows)
        self._oldest = max(self._oldest, end - self.capacity)
        source, target = opaque(rows), opaque(self._rows)
        slot = start % self.capacity
        head = min(len(rows), self.capacity - slot)
        target[slot : slot + head] = source[:head]
        target[: len(rows) - head] = source[head:]
        if messages:
            self._keep(rows, start, messages)
        while self._message_sequences and self._message_sequences[0] < self._oldest:
            self._forget()
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
        """The message of a row whose column `message` says that there is one; none is empty.

        Empty once the row is overwritten, or where the message had to make room.
        """
        return self._messages.get(sequence, b"")

    def _keep(self, rows: Rows, start: int, messages: Sequence[bytes]) -> None:
        numbers = rows["message"]
        for index in numbers.nonzero()[0].tolist():
            message = messages[int(numbers[index]) - 1]
            self._messages[start + index] = message
            self._message_sequences.append(start + index)
            self._messages_bytes += len(message) + _MESSAGE_OVERHEAD_BYTES
        while self._messages_bytes > self._messages_max_bytes:
            self.messages_dropped += self._message_sequences[0] >= self._oldest
            self._forget()

    def _forget(self) -> None:
        """Remove the oldest message."""
        message = self._messages.pop(self._message_sequences.popleft())
        self._messages_bytes -= len(message) + _MESSAGE_OVERHEAD_BYTES
