"""What to add to kernel time to get wall time. Called by `palomar_bpf.capture` for its consumer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TRIES = 10
"""Enough for one that no interrupt or other process came into."""


def boot_offset_ns(clock_ns: Callable[[int], int] = time.clock_gettime_ns) -> int:
    """CLOCK_REALTIME minus CLOCK_BOOTTIME in nanoseconds, as of now.

    It changes with every adjustment of the wall clock. The clocks cannot be read at one moment, so
    the boot clock is read before and after the other, and the tightest of several such brackets
    counts; usually it is exact to under 100 ns.

    Args:
        clock_ns: Reads a clock by its number.
    """
    tries = []
    for _ in range(_TRIES):
        before_ns = clock_ns(time.CLOCK_BOOTTIME)
        wall_ns = clock_ns(time.CLOCK_REALTIME)
        bracket_ns = clock_ns(time.CLOCK_BOOTTIME) - before_ns
        tries.append((bracket_ns, wall_ns - (before_ns + bracket_ns // 2)))
    return min(tries)[1]
