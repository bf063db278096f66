"""Picking structures out of a buffer at many offsets at once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAD_BYTES = 128
"""Zero bytes behind the last payload: no structure gathered here is larger."""


def padded(buffer: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copy a buffer and put `PAD_BYTES` zeros behind it, so that a gather never leaves it."""
    out = np.empty(len(buffer) + PAD_BYTES, np.uint8)
    out[: len(buffer)] = buffer
    out[len(buffer) :] = 0
    return out


def gather(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], dtype: np.dtype[np.void]
) -> NDArray[np.void]:
    """Read one structure at each offset.

    Args:
        buffer: shape (bytes,), dtype uint8, padded.
        starts: offsets of n structures, shape (n,), at most the unpadded length.
        dtype: the structure, at most `PAD_BYTES` large.

    Returns:
        Shape (n,), dtype `dtype`, owned.
    """
    size = dtype.itemsize
    windows = np.ndarray((len(buffer) - size + 1,), _opaque(size), buffer, strides=(1,))
    return windows[starts].view(dtype)


@cache
def _opaque(size: int) -> np.dtype[np.void]:
    """`size` bytes that numpy moves as one."""
    return np.dtype((np.void, size))
