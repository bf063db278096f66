"""Flows by time: buckets of one width, without gaps, not too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MS, _S = 1_000_000, 1_000_000_000
_MINUTE, _HOUR, _DAY = 60 * _S, 3600 * _S, 86_400 * _S
ROUND_WIDTHS_NS = (
    *(count * _MS for count in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(count * _S for count in (1, 2, 5, 10, 15, 30)),
    *(count * _MINUTE for count in (1, 2, 5, 10, 15, 30)),
    *(count * _HOUR for count in (1, 2, 3, 6, 12)),
    *(count * _DAY for count in (1, 2, 7, 30, 365, 3_650, 36_500, 146_000)),
)
"""Widths to choose from: those that people use on the axis of a chart. With the longest one all
times that a row can have are in two buckets."""
WIDTH_MAX_NS = ROUND_WIDTHS_NS[-1]

EARLIER = -1
"""In the place of a bucket's number: before the first one."""


class TimeHistogram:
    """Divides the time between the first and the last flow into buckets.

    Args:
        times: UTC ns, shape (n,), dtype uint64, in any order.
        width_ns: of a bucket; None for a round one that gives no more than `buckets_max`.
        buckets_max: of a given width the last so many; at least 2.
    """

    def __init__(self, times: NDArray[np.uint64], width_ns: int | None, buckets_max: int) -> None:
        earliest, latest = (int(times.min()), int(times.max())) if len(times) else (0, 0)
        self.width_ns = width_ns or _round_width_ns(earliest, latest, buckets_max)
        """How long each bucket is."""
        first, last = earliest // self.width_ns, latest // self.width_ns
        first = max(first, last - buckets_max + 1)
        self.start_ns = first * self.width_ns
        """When the first begins, UTC ns."""
        self.count = last - first + 1 if len(times) else 0
        """How many there are."""
        numbers = (times // np.uint64(self.width_ns)).astype(np.int64) - first
        self.buckets: NDArray[np.int64] = np.where(numbers < 0, EARLIER, numbers)
        """Of each time its bucket's number or `EARLIER`, shape (n,)."""


def _round_width_ns(earliest: int, latest: int, buckets_max: int) -> int:
    for width_ns in ROUND_WIDTHS_NS:
        if latest // width_ns - earliest // width_ns < buckets_max:
            return width_ns
    return ROUND_WIDTHS_NS[-1]
