"""Packets of the last seconds in bounded memory: for recordings that wait for their trigger."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from palomar_recorder.packets import Packets

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PACKET_BYTES = 64
"""What a packet takes beside its bytes, about: its columns."""


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
            packets: ordered by time, in a buffer of their own (`compacted`).
        """
        newest_ns = int(packets.times_ns[-1])
        taken = len(packets.buffer) + len(packets) * _PACKET_BYTES
        if taken > self._bytes_max:
            # A flood: the last of them, as many as fit.
            sizes = packets.captured_bytes[::-1] + _PACKET_BYTES
            fitting = int(np.searchsorted(sizes.cumsum(), self._bytes_max, side="right"))
            self._pieces.clear()
            self.bytes = 0
            if not fitting:
                return
            packets = compacted(packets.take(slice(len(packets) - fitting, None)))
            taken = len(packets.buffer) + len(packets) * _PACKET_BYTES
        self._pieces.append((packets, newest_ns, taken))
        self.bytes += taken
        self._newest_ns = max(self._newest_ns, newest_ns)
        since_ns = self._newest_ns - self._span_ns
        while self.bytes > self._bytes_max or self._pieces[0][1] < since_ns:
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


def compacted(packets: Packets) -> Packets:
    """The same packets in a buffer that holds nothing else."""
    starts: list[int] = packets.offsets.tolist()
    ends: list[int] = (packets.offsets + packets.captured_bytes).tolist()
    # Loops in C: some 150 ns a packet, and what the bytes take.
    memory = packets.buffer.data
    content = b"".join(map(memory.__getitem__, map(slice, starts, ends)))
    offsets: NDArray[np.int64] = packets.captured_bytes.cumsum() - packets.captured_bytes
    return Packets(
        np.frombuffer(content, np.uint8),
        offsets,
        packets.captured_bytes,
        packets.original_bytes,
        packets.times_ns,
        packets.interfaces,
        packets.notes,
        packets.interface_table,
        packets.note_table,
    )
