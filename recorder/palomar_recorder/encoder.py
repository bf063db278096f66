"""The form of a capture file, as sinks see it: packets go in, bytes come out, no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_recorder.counts import Counts
    from palomar_recorder.packets import Packets

Buffer: TypeAlias = bytes | memoryview
"""Of bytes, so that its length is how many."""


class Encoder(Protocol):
    """One file's; buffers are to be written in order, at once, and may refer to the packets'."""

    suffix: str
    """Of the file's name, with its dot."""

    def begin(self) -> Sequence[Buffer]:
        """What stands before all packets."""

    def encode(self, packets: Packets) -> Sequence[Buffer]:
        """Some packets."""

    def undo(self) -> None:
        """What the last `encode` gave was not written: go on as if it had not been called."""

    def end(self, counts: Counts, ended_ns: int) -> Sequence[Buffer]:
        """What stands behind all packets.

        Args:
            counts: of the whole recording.
            ended_ns: wall clock, UTC.
        """
