"""Sums by group that stay exact, however large the numbers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def exact_sums(
    groups: NDArray[np.int64], numbers: NDArray[np.uint64], count: int
) -> NDArray[np.uint64]:
    """Sums of numbers by group; those over 2^64 − 1 stay there.

    Args:
        groups: the group of each of up to 2^20 numbers, shape (n,), below `count`.
        numbers: shape (n,).
        count: how many groups there are.

    Returns:
        Shape (count,).
    """
    # Weights are floating point, exact up to 2^53: so each half of the numbers is summed by itself.
    half = np.uint64(32)
    low = np.bincount(groups, numbers & np.uint64(0xFFFF_FFFF), count).astype(np.uint64)
    high = np.bincount(groups, numbers >> half, count).astype(np.uint64) + (low >> half)
    sums: NDArray[np.uint64] = high << half | low & np.uint64(0xFFFF_FFFF)
    sums[high >> half != 0] = np.iinfo(np.uint64).max
    return sums
