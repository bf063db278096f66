"""Picking structures out of a buffer at many offsets at once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAD_BYTES = 128
"""Zero bytes behind the last payload: no structure gathered here is larger."""

SCRATCH_BYTES_MAX = 16 << 20
"""Of memory that is kept for each use, for batches larger than a busy node's reader hands over."""


class Scratch:
    """Memory for one batch after the other. For one thread.

    Memory of this size that is allocated anew comes from the kernel, page by page, which costs as
    much as filling it; so a decoder keeps some. Larger batches than `SCRATCH_BYTES_MAX` are rare.
    """

    __slots__ = ("_memory",)

    def __init__(self) -> None:
        self._memory: dict[str, NDArray[np.uint8]] = {}

    def take(self, use: str, size_bytes: int) -> NDArray[np.uint8]:
        """Some bytes of unknown content, which stay the caller's until the next call for `use`."""
        memory = self._memory.get(use)
        if memory is None or len(memory) < size_bytes:
            memory = np.empty(size_bytes, np.uint8)
            if size_bytes <= SCRATCH_BYTES_MAX:
                self._memory[use] = memory
        return memory[:size_bytes]

    def padded(self, buffer: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Copy a buffer and put `PAD_BYTES` zeros behind it, so that a gather never leaves it."""
        out = self.take("padded", len(buffer) + PAD_BYTES)
        out[: len(buffer)] = buffer
        out[len(buffer) :] = 0
        return out


def gather(buffer: NDArray[np.uint8], starts: NDArray[np.int64], dtype: np.dtype[Any]) -> Any:
    """Read one structure at each offset.

    Args:
        buffer: shape (bytes,), dtype uint8, at least as long as the structure.
        starts: offsets of n structures, shape (n,), all of which lie within the buffer: where they
            may not, it is `padded`, and the structure at most `PAD_BYTES` large.
        dtype: the structure.

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
