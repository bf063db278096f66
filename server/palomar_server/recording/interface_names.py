"""Notes the interfaces whose packets a file has, on their way into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_recorder.counts import Counts
    from palomar_recorder.encoder import Buffer, Encoder
    from palomar_recorder.packets import Packets

NAMES_MAX = 1_000
"""Beyond these they are not told; the file has them."""


class InterfaceNames:
    """An `Encoder` that is another one, and remembers names.

    Args:
        encoder: the other one.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.suffix = encoder.suffix
        """As the other's."""
        self.names: tuple[str, ...] = ()
        """Sorted; replaced as a whole, so that any thread may read it."""
        self._names_before: tuple[str, ...] = ()

    def begin(self) -> Sequence[Buffer]:
        """See `Encoder.begin`."""
        return self._encoder.begin()

    def encode(self, packets: Packets) -> Sequence[Buffer]:
        """See `Encoder.encode`."""
        self._names_before = self.names
        table = packets.interface_table
        used = np.flatnonzero(np.bincount(packets.interfaces, minlength=len(table)))
        new = {table[index].name for index in used.tolist()}.difference(self.names, ("",))
        if new and len(self.names) < NAMES_MAX:
            self.names = tuple(sorted({*self.names, *new})[:NAMES_MAX])
        return self._encoder.encode(packets)

    def undo(self) -> None:
        """See `Encoder.undo`."""
        self.names = self._names_before
        self._encoder.undo()

    def end(self, counts: Counts, ended_ns: int) -> Sequence[Buffer]:
        """See `Encoder.end`."""
        return self._encoder.end(counts, ended_ns)
