"""How many flows a second a ring has had."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from palomar_server.table import Kind

if TYPE_CHECKING:
    from palomar_server.ring import Ring

_NS_PER_S = 1_000_000_000
WINDOW_NS = 60 * _NS_PER_S
_PIECE_ROWS = 4_096


def flows_rate(ring: Ring, now_ns: int) -> float:
    """Flows a second in the last minute, or since the ring's oldest flow if it holds less.

    Hubble's rule, to the letter: from the newest flow back to the first that is older than a
    minute; where there is none, the time is that from the oldest flow to now, which is negative
    where that flow is dated in the future, and then the rate is as well.

    Args:
        ring: the events.
        now_ns: UTC ns.
    """
    flows = 0
    oldest_ns: int | None = None
    earliest_ns = max(0, now_ns - WINDOW_NS)
    end, oldest = ring.next, ring.oldest
    while end > oldest:
        start = max(oldest, end - _PIECE_ROWS)
        for _, rows in reversed(list(ring.spans(start, end))):
            # The times first: they alone are all that is asked of rows beyond the minute.
            times = rows["time_ns"][rows["kind"] == Kind.FLOW]
            old = (times < earliest_ns).nonzero()[0]
            if len(old):
                flows += len(times) - int(old[-1]) - 1
                return flows * _NS_PER_S / WINDOW_NS
            if len(times):
                flows += len(times)
                oldest_ns = int(times[0])
        end = start
    if oldest_ns is None:
        return 0.0
    span_ns = now_ns - oldest_ns
    return flows * _NS_PER_S / span_ns if span_ns else math.inf
