"""A reader of the ring: a position and a filter, nothing else.

It costs nothing while it waits. When it reads, it masks the slice since its position in one pass.
If the writer lapped it meanwhile, what it lost is a subtraction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_server.table import FLOW, Kind, take

if TYPE_CHECKING:
    from palomar_server.ring import Ring
    from palomar_server.selection import Selection
    from palomar_server.table import Mask, Rows

SCAN_ROWS_MAX = 16_384
"""Rows looked at in one go: a fraction of a millisecond, so that other streams get their turn."""
TAKE_ROWS_MAX = 512
"""Rows copied in one go: what a reader that has stopped reading holds on to."""
TAKE_MESSAGES_MAX_BYTES = 1 << 20
"""The same of their messages; passed by at most one message."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one read found."""

    rows: Rows
    """Copies of the selected rows."""
    sequences: list[int]
    """Their sequence numbers, ascending."""
    messages: dict[int, bytes]
    """The messages of those that have one, by sequence number."""
    lost: int
    """Events overwritten before they could be looked at, or selected and without their message."""


class Cursor:
    """Reads selected events from a position on.

    Args:
        ring: the ring.
        selected: which events.
        position: sequence number of the first event to look at.
        since_ns: earliest time, inclusive, UTC ns.
        until_ns: latest time, inclusive, UTC ns.
    """

    def __init__(
        self,
        ring: Ring,
        selected: Selection,
        position: int,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
    ) -> None:
        self._ring = ring
        self._selected = selected
        self._since_ns = since_ns
        self._until_ns = until_ns
        self.position = position
        self._scan_rows = TAKE_ROWS_MAX

    def _mask(self, rows: Rows) -> Mask:
        mask = self._selected.mask(rows)
        if self._since_ns is None and self._until_ns is None:
            return mask
        times, lost = rows["time_ns"], rows["kind"] == Kind.LOST
        if self._since_ns is not None:
            mask &= (times >= self._since_ns) | lost
        if self._until_ns is not None:
            mask &= (times <= self._until_ns) | lost
        return mask

    def read(self, end: int) -> Slice:
        """Look at the next events up to `end` (exclusive) and move on.

        Stops after `TAKE_ROWS_MAX` selected events or `TAKE_MESSAGES_MAX_BYTES` of their messages,
        and after `SCAN_ROWS_MAX` looked at.
        """
        # What lies behind `end` nobody asked for yet, so it is not lost yet either.
        start = max(self.position, min(self._ring.oldest, end))
        lost = start - self.position
        stop = min(end, start + self._scan_rows)
        pieces: list[Rows] = []
        sequences: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
        left = TAKE_ROWS_MAX
        for first, rows in self._ring.spans(start, stop):
            found = self._mask(rows).nonzero()[0]
            if len(found) > left:
                found = found[:left]
                stop = first + int(found[-1]) + 1 if left else first
            pieces.append(take(rows, found))
            sequences.append(found + first)
            left -= len(found)
            if stop <= first + len(rows):
                break
        numbers = np.concatenate(sequences) if sequences else np.zeros(0, np.int64)
        chosen = np.concatenate(pieces) if pieces else np.zeros(0, FLOW)
        # Look further ahead where little is selected, and not in vain where much is.
        sparse = len(numbers) < TAKE_ROWS_MAX // 4
        self._scan_rows = min(2 * self._scan_rows, SCAN_ROWS_MAX) if sparse else 2 * TAKE_ROWS_MAX
        # Rows that the writer took meanwhile may be torn: only those still there count.
        overtaken = min(self._ring.oldest, stop) - start
        if overtaken > 0:
            whole = numbers >= start + overtaken
            numbers, chosen = numbers[whole], take(chosen, whole)
            lost += overtaken
        self.position = max(stop, start)
        if len(numbers) and np.count_nonzero(chosen["message"]):
            return self._with_messages(chosen, numbers, lost)
        return Slice(chosen, numbers.tolist(), {}, lost)

    def _with_messages(
        self, rows: Rows, numbers: np.ndarray[tuple[int], np.dtype[np.int64]], lost: int
    ) -> Slice:
        """Fetch the messages before they can go; rows whose message is gone are lost.

        Beyond `TAKE_MESSAGES_MAX_BYTES` the rest is left for the next read.
        """
        sequences: list[int] = numbers.tolist()
        gone: list[int] = []
        messages: dict[int, bytes] = {}
        end, held_bytes = len(rows), 0
        for index in rows["message"].nonzero()[0].tolist():
            if held_bytes >= TAKE_MESSAGES_MAX_BYTES:
                end, self.position = index, sequences[index]
                break
            if message := self._ring.message(sequences[index]):
                messages[sequences[index]] = message
                held_bytes += len(message)
            else:
                gone.append(index)
        kept = np.delete(np.arange(end), gone)
        return Slice(take(rows, kept), numbers[kept].tolist(), messages, lost + len(gone))

    def rewind(self, events: int) -> None:
        """Move back so that the next `events` selected events are the last ones before `position`.

        Without that many the position becomes the oldest event. Loss notices are not counted.
        """
        end = self.position
        while end > self._ring.oldest:
            start = max(self._ring.oldest, end - SCAN_ROWS_MAX)
            for first, rows in reversed(list(self._ring.spans(start, end))):
                found = np.flatnonzero(self._mask(rows) & (rows["kind"] != Kind.LOST))
                if len(found) >= events:
                    self.position = first + int(found[-events])
                    return
                events -= len(found)
            end = start
        self.position = self._ring.oldest
