"""Packets of a batch while their headers are taken off, outermost first."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.table import Rows

    Which: TypeAlias = NDArray[np.intp] | slice
    """Some rows: their indices, or all as a slice."""

NO_PROTOCOL = 255
"""Reserved by IANA: stands for a row without anything behind its network header."""


class Layers:
    """What is known of n packets so far.

    Args:
        buffer: the bytes, padded.
        rows: n rows whose heads are decoded.
        malformed: shape (n,); gets a `Malformed` where a header does not fit.
        start: offset of the first header of each packet, shape (n,).
        end: offset behind each packet, shape (n,).
        ours: which are of palomar's own programs, shape (n,); None if none are. They are spared:
            a packet that is damaged is often dropped for just that.
    """

    __slots__ = (
        *("at", "buffer", "end", "ethertype", "flags", "malformed", "nests", "ours", "protocol"),
        *("rows", "stop", "tidy"),
    )

    def __init__(
        self,
        buffer: NDArray[np.uint8],
        rows: Rows,
        malformed: NDArray[np.uint8],
        start: NDArray[np.int64],
        end: NDArray[np.int64],
        *,
        ours: NDArray[np.bool_] | None,
    ) -> None:
        count = len(rows)
        self.buffer = buffer
        self.rows = rows
        self.malformed = malformed
        self.ours = ours
        self.stop = end
        self.at = start.copy()
        """Where the next header starts."""
        self.end = end.copy()
        """Where what is behind it ends, as the headers before it say."""
        self.ethertype = np.zeros(count, np.uint16)
        self.protocol = np.full(count, NO_PROTOCOL, np.uint8)
        self.flags = np.zeros(count, np.uint8)
        """`Flag`s to add."""
        self.tidy = False
        """Whether all packets have a whole Ethernet header with something behind it."""
        self.nests = False
        """Whether some may have another packet inside; `ethertype` or `protocol` tell."""

    def foreign(self, which: Which) -> NDArray[np.bool_] | bool:
        """Which of some rows are held to Hubble's rules."""
        return True if self.ours is None else ~self.ours[which]

    def fault(self, which: Which, faults: NDArray[np.uint8]) -> None:
        """Note the faults of some rows, 0 for none, none of which had one before."""
        if np.count_nonzero(faults):
            self.malformed[which] = faults


def which_of(mask: NDArray[np.bool_]) -> Which:
    """The rows of a mask; all of them as a slice, which numpy serves without copying."""
    return slice(None) if np.count_nonzero(mask) == len(mask) else mask.nonzero()[0]
