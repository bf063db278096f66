"""Packets of the last seconds in bounded memory: for recordings that wait for their trigger."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from palomar_recorder.packets import Packets

_PACKET_BYTES = 64
"""What a packet takes beside its bytes, about: its columns."""
_PIECE_BYTES = 1_536
"""What those that come at once take beside that, about: their arrays themselves. At a packet a time
that is most of it."""
_PARTS = 16
"""Packets that come at once go in parts, each about so little of the memory: as one they would all
make room for the next few."""


class PacketRing:
    """Keeps the last packets that were added. For one thread.

    Args:
        bytes_max: how much memory they may take.
        span_ns: how far back from the last one they are of use.
    """

    def __init__(self, bytes_max: int, span_ns: int) -> None:
        self._bytes_max = bytes_max
        self._span_ns = span_ns
        self._pieces: deque[tuple[Packets, int, int]] = deque()
        self._newest_ns = 0
        self.bytes = 0
        """Taken now."""

    def add(self, packets: Packets) -> None:
        """Keep some packets, at least one, and let go of the oldest.

        Args:
            packets: ordered by time, in a buffer of their own (`Packets.compacted`).
        """
        taken = _taken(packets)
        if taken > self._bytes_max:
            # A flood: the last of them, as many as fit.
            sizes = packets.captured_bytes[::-1] + _PACKET_BYTES
            room_bytes = self._bytes_max - _PIECE_BYTES
            fitting = int(np.searchsorted(sizes.cumsum(), room_bytes, side="right"))
            self._pieces.clear()
            self.bytes = 0
            if not fitting:
                return
            packets = packets.take(slice(len(packets) - fitting, None)).compacted()
        for piece in _parts(packets, self._bytes_max // _PARTS):
            newest_ns, taken = int(piece.times_ns[-1]), _taken(piece)
            self._pieces.append((piece, newest_ns, taken))
            self.bytes += taken
            self._newest_ns = max(self._newest_ns, newest_ns)
        since_ns = self._newest_ns - self._span_ns
        # All of them may go: those that are read late may be too old by themselves.
        while self._pieces and (self.bytes > self._bytes_max or self._pieces[0][1] < since_ns):
            self.bytes -= self._pieces.popleft()[2]

    def clock_set(self, moved_ns: int) -> None:
        """Go on with a clock that was set forward by so much."""
        self._newest_ns += moved_ns
        self._pieces = deque(
            (replace(packets, times_ns=packets.times_ns + moved_ns), newest_ns + moved_ns, taken)
            for packets, newest_ns, taken in self._pieces
        )

    def take(self, since_ns: int) -> list[Packets]:
        """Let go of all packets, and give those not older than this."""
        pieces = [piece for piece, newest_ns, _ in self._pieces if newest_ns >= since_ns]
        self._pieces.clear()
        self.bytes = 0
        return [
            piece if int(piece.times_ns[0]) >= since_ns else piece.take(piece.times_ns >= since_ns)
            for piece in pieces
        ]


def _taken(packets: Packets) -> int:
    """The memory of packets in a buffer of their own."""
    return _PIECE_BYTES + len(packets.buffer) + len(packets) * _PACKET_BYTES


def _parts(packets: Packets, most_bytes: int) -> list[Packets]:
    """The same packets in pieces of about so much memory, each in a buffer of its own."""
    if _taken(packets) <= most_bytes:
        return [packets]
    sums = (packets.captured_bytes + _PACKET_BYTES).cumsum()
    ends = [*(np.diff(sums // max(1, most_bytes)).nonzero()[0] + 1).tolist(), len(packets)]
    starts = [0, *ends[:-1]]
    return [
        packets.take(slice(start, end)).compacted() for start, end in zip(starts, ends, strict=True)
    ]
