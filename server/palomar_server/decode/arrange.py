"""The order in which a batch is decoded: payloads with the same head side by side.

Columns of rows that lie together are filled in place; put back at the end, each row moves once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_server.decode.layouts import CODE_RARE, LAYOUTS, Layout, classify
from palomar_server.table import by_time, opaque, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_bpf.batch import PayloadBatch
    from palomar_server.table import Rows


@dataclass(slots=True)
class Arrangement:
    """A batch in the order of its heads."""

    starts: NDArray[np.int64]
    """Offsets of the payloads, shape (n,)."""
    lengths: NDArray[np.int64]
    """Their lengths, shape (n,)."""
    malformed: NDArray[np.uint8]
    """Why a head cannot be read, shape (n,): `Malformed`."""
    groups: list[tuple[Layout, slice]]
    """The payloads with each head that is decoded by columns."""
    rare: slice
    """The payloads that are decoded one by one."""
    order: NDArray[np.intp] | None
    """Index in the batch of each payload; None where nothing was moved."""

    def index(self, position: int) -> int:
        """Index in the batch of the payload at `position`."""
        return position if self.order is None else int(self.order[position])

    def put_back(self, rows: Rows, positions: NDArray[np.intp] | None) -> Rows:
        """Order rows by time, and those of the same time as their payloads came.

        Args:
            rows: in the order of this arrangement.
            positions: which of its payloads are left in `rows`; None for all.
        """
        if self.order is None:
            return by_time(rows)
        came = self.order if positions is None else self.order[positions]
        times = rows["time_ns"]
        if np.count_nonzero(times != times[:1]) == 0:
            if positions is None:
                back = np.empty_like(rows)
                opaque(back)[came] = opaque(rows)
                return back
            return take(rows, came.argsort())
        return take(rows, np.lexsort((came, times)))


def arrange(batch: PayloadBatch, buffer: NDArray[np.uint8]) -> Arrangement:
    """Arrange a batch of at least one payload; `buffer` is its buffer, padded."""
    codes, malformed = classify(batch, buffer)
    count = len(batch)
    if malformed is None:
        malformed = np.zeros(count, np.uint8)
    if isinstance(codes, int):
        groups = [(LAYOUTS[codes], slice(0, count))]
        return Arrangement(
            batch.offsets, batch.lengths, malformed, groups, slice(count, count), None
        )
    order = codes.argsort(kind="stable")
    ends = np.bincount(codes, minlength=CODE_RARE + 1).cumsum().tolist()
    bounds = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    return Arrangement(
        batch.offsets[order],
        batch.lengths[order],
        malformed[order],
        [(LAYOUTS[code], bounds[code]) for code in np.unique(codes).tolist() if code < CODE_RARE],
        bounds[CODE_RARE],
        order,
    )
