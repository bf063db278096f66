"""Packets as columns: what goes into a sink, many at a time.

The server makes these of what its own programs captured; encoders and sinks take them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LINKTYPE_ETHERNET = 1
LINKTYPE_RAW = 101
"""Packets begin with their IPv4 or IPv6 header (tcpdump.org, link-layer header types)."""


@dataclass(frozen=True, slots=True)
class Interface:
    """Where packets were seen."""

    name: str
    """As the node calls it; empty where unknown."""
    linktype: int
    """`LINKTYPE_ETHERNET` or `LINKTYPE_RAW`: what the packet's bytes begin with."""


@dataclass(frozen=True, slots=True)
class Packets:
    """Some packets in the order they are to be written. Nobody changes one that was handed on."""

    buffer: NDArray[np.uint8]
    """Shape (bytes,), dtype uint8: the packets' bytes, with anything between them."""
    offsets: NDArray[np.int64]
    """Shape (n,), dtype int64: where each packet starts in `buffer`."""
    captured_bytes: NDArray[np.int64]
    """Shape (n,), dtype int64: how many bytes of each are there."""
    original_bytes: NDArray[np.int64]
    """Shape (n,), dtype int64: how long each was; never less than `captured_bytes`."""
    times_ns: NDArray[np.int64]
    """Shape (n,), dtype int64: wall clock, UTC."""
    interfaces: NDArray[np.uint32]
    """Shape (n,), dtype uint32: index into `interface_table`."""
    notes: NDArray[np.uint32]
    """Shape (n,), dtype uint32: index into `note_table`."""
    interface_table: Sequence[Interface]
    """Different from batch to batch."""
    note_table: Sequence[str] = ("",)
    """Comments in plain words; the first is always empty, for packets without one."""

    def __len__(self) -> int:
        return len(self.offsets)

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Packets:
        """Some of the packets, by index, mask or slice; the buffer is shared."""
        return Packets(
            self.buffer,
            self.offsets[which],
            self.captured_bytes[which],
            self.original_bytes[which],
            self.times_ns[which],
            self.interfaces[which],
            self.notes[which],
            self.interface_table,
            self.note_table,
        )

    def cut(self, snaplen_bytes: int) -> Packets:
        """The same packets with at most so many bytes captured of each; the buffer is shared."""
        return Packets(
            self.buffer,
            self.offsets,
            np.minimum(self.captured_bytes, snaplen_bytes),
            self.original_bytes,
            self.times_ns,
            self.interfaces,
            self.notes,
            self.interface_table,
            self.note_table,
        )

    def compacted(self) -> Packets:
        """The same packets in a buffer that holds nothing else."""
        offsets: NDArray[np.int64] = self.captured_bytes.cumsum() - self.captured_bytes
        starts, ends = self.offsets.tolist(), (self.offsets + self.captured_bytes).tolist()
        # Loops in C: some 150 ns a packet, and what the bytes take.
        content = b"".join(map(self.buffer.data.__getitem__, map(slice, starts, ends)))
        return replace(self, buffer=np.frombuffer(content, np.uint8), offsets=offsets)
