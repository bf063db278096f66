"""How often something may happen: so many at once, and so many a second from then on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Allowance:
    """A token bucket; full at first.

    Args:
        burst: at once.
        per_s: a second, in the long run.
        clock_s: seconds that only grow.
    """

    def __init__(
        self, burst: int, per_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._per_s = per_s
        self._clock_s = clock_s
        self._left = float(burst)
        self._filled_s = clock_s()

    def take(self) -> bool:
        """Whether it may happen once more, now."""
        now_s = self._clock_s()
        self._left = min(self._burst, self._left + (now_s - self._filled_s) * self._per_s)
        self._filled_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
