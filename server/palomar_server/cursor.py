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
    from palomar_server.filters.compiled import CompiledFilter
    from palomar_server.ring import Ring
    from palomar_server.table import Mask, Rows

SCAN_ROWS_MAX = 16_384
"""Rows looked at in one go: a fraction of a millisecond, so that other streams get their turn."""
TAKE_ROWS_MAX = 512
"""Rows copied in one go: what a reader that has stopped reading holds on to."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one read found."""

    rows: Rows
    """Copies of the selected rows."""
    sequences: list[int]
    """Their sequence numbers, ascending."""
    lost: int
    """Events overwritten before they could be looked at."""


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
        selected: CompiledFilter,
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
        lost = rows["kind"] == Kind.LOST
        if self._since_ns is not None:
            mask &= (rows["time_ns"] >= self._since_ns) | lost
        if self._until_ns is not None:
            mask &= (rows["time_ns"] <= self._until_ns) | lost
        return mask

    def read(self, end: int) -> Slice:
        """Look at the next events up to `end` (exclusive) and move on.

        Stops after `TAKE_ROWS_MAX` selected events, and after `SCAN_ROWS_MAX` looked at.
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
        return Slice(chosen, numbers.tolist(), lost)

    def rewind(self, flows: int) -> None:
        """Move back so that the next `flows` selected flows are the last ones before `position`.

        Without that many the position becomes the oldest event. Loss notices are not counted.
        """
        end = self.position
        while end > self._ring.oldest:
            start = max(self._ring.oldest, end - SCAN_ROWS_MAX)
            for first, rows in reversed(list(self._ring.spans(start, end))):
                found = np.flatnonzero(self._mask(rows) & (rows["kind"] == Kind.FLOW))
                if len(found) >= flows:
                    self.position = first + int(found[-flows])
                    return
                flows -= len(found)
            end = start
        self.position = self._ring.oldest
