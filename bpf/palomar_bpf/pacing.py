"""Whether the node is busy, and how long events may then gather before they are read.

In go the times and sizes of past drains; out comes a pause. Called by `palomar_bpf.reader`. Every
batch costs the whole pipeline a fixed price, and every announced event costs the kernel an
interrupt; so a busy node is read by the clock, and a quiet one, where an event must not wait, by
announcement. Pure arithmetic: the clock is the caller's.
"""

from __future__ import annotations

from collections import deque

_DRAINS = 4
"""Drains the rate is taken from: enough that a ping and its answer are no load."""
_RECORDS_WORTH_A_PAUSE = 2
"""Events a pause must be expected to gather; with fewer it only delays the one at hand."""
_FILL_SHARE_MAX = 0.4
"""Of a ring, filled between two drains: leaves room for more than twice the rate that was seen, and
a ring that is half full is read at once."""
_PAUSE_MIN_S = 100e-6
"""Shorter sleeps cost about as much as they last."""


class Pacer:
    """Estimates the rate of events from the last few drains.

    Args:
        ring_bytes: Data size of one CPU's ring.
        coalesce_max_s: Longest pause in seconds; with 0 no node counts as busy.
    """

    def __init__(self, ring_bytes: int, coalesce_max_s: float) -> None:
        self._fill_bytes = ring_bytes * _FILL_SHARE_MAX
        self.coalesce_max_s = coalesce_max_s
        """May be changed at any time, and from any thread."""
        self._drains: deque[tuple[float, int, int]] = deque(maxlen=_DRAINS + 1)

    def drained(self, now_s: float, records: int, busiest_bytes: int) -> None:
        """Note a drain: when, how many records it gave, and what the fullest ring held."""
        self._drains.append((now_s, records, busiest_bytes))

    def calm(self) -> None:
        """Note that a pause gathered nothing: whatever was before, the node is quiet now."""
        self._drains.clear()

    def pause_s(self, now_s: float) -> float | None:
        """Seconds from now to the next drain, so that no ring gets more than two fifths full.

        Returns:
            None if the node is quiet, so that the next event should be announced and read at once.
        """
        if len(self._drains) <= _DRAINS:
            return None
        since_s, last_s = self._drains[0][0], self._drains[-1][0]
        span_s = max(now_s - since_s, 1e-9)
        recent = list(self._drains)[1:]
        records = sum(drain[1] for drain in recent)
        coalesce_max_s = self.coalesce_max_s
        if records * coalesce_max_s / span_s < _RECORDS_WORTH_A_PAUSE:
            return None
        busiest_bytes = max(1, sum(drain[2] for drain in recent))
        interval_s = min(coalesce_max_s, self._fill_bytes * span_s / busiest_bytes)
        pause_s = interval_s - (now_s - last_s)
        return pause_s if pause_s >= _PAUSE_MIN_S else 0.0
