"""The beginnings of payloads in cells of one size: what decoding needs, and memory can hold.

A packet may have 64 KiB, of which the decoder would copy all to look at its headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.batch import PayloadBatch
from palomar_recorder.records import windows

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cut_cells(
    buffer: NDArray[np.uint8],
    starts: NDArray[np.int64],
    cell_bytes: int,
) -> NDArray[np.uint8]:
    """Copy the same number of bytes from each of n places.

    Args:
        buffer: shape (bytes,), dtype uint8.
        starts: shape (n,), within the buffer.
        cell_bytes: how many; zeros stand for what is behind the buffer's end.

    Returns:
        Shape (n, `cell_bytes`), dtype uint8, owned.
    """
    if len(buffer) < cell_bytes:
        buffer = np.concatenate((buffer, np.zeros(cell_bytes - len(buffer), np.uint8)))
    last = len(buffer) - cell_bytes
    cut = windows(buffer, cell_bytes)[np.minimum(starts, last)]
    cells: NDArray[np.uint8] = cut.view(np.uint8).reshape(-1, cell_bytes)
    for index in (starts > last).nonzero()[0].tolist():
        tail = buffer[int(starts[index]) :]
        cells[index, : len(tail)] = tail
        cells[index, len(tail) :] = 0
    return cells


def batch_of_cells(
    cells: NDArray[np.uint8], lengths: NDArray[np.int64], received_ns: int
) -> PayloadBatch:
    """Cells as the decoder takes them.

    Args:
        cells: shape (n, bytes), dtype uint8.
        lengths: of the payloads, shape (n,); what is over the cell's is cut.
        received_ns: UTC.
    """
    count, cell_bytes = cells.shape
    return PayloadBatch(
        cells.reshape(-1),
        np.arange(count, dtype=np.int64) * cell_bytes,
        np.minimum(lengths, cell_bytes),
        np.zeros(count, np.uint16),
        received_ns,
    )
