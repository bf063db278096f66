"""Records of capture files: the head, the packet and the tail of each, laid out for one write.

Nothing here goes packet by packet, save for long ones, which are referred to and not copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_recorder.encoder import Buffer
    from palomar_recorder.packets import Packets

REFERRED_BYTES = 4_096
"""From this average on packets are not copied; below, copying is cheaper than many slices."""
_CACHED_BYTES = 256 << 10


class Records:
    """The records of some packets, of which heads and tails are still to be put in.

    Args:
        packets: at least one.
        head_bytes: of all records, or of each: shape (n,), dtype int64.
        tail_bytes: likewise.
    """

    def __init__(
        self,
        packets: Packets,
        head_bytes: int | NDArray[np.int64],
        tail_bytes: int | NDArray[np.int64] = 0,
    ) -> None:
        self._packets = packets
        captured = packets.captured_bytes
        self._copies = int(captured.sum()) < REFERRED_BYTES * len(packets)
        inside = head_bytes + (captured if self._copies else np.zeros_like(captured))
        ends: NDArray[np.int64] = np.cumsum(inside + tail_bytes, dtype=np.int64)
        self.ends = ends
        """Shape (n,), dtype int64: behind each record in the buffer."""
        self.tails: NDArray[np.int64] = ends - tail_bytes
        """Shape (n,), dtype int64: where each tail starts."""
        self.heads: NDArray[np.int64] = self.tails - inside
        """Shape (n,), dtype int64: where each head starts."""
        self._bodies = self.heads + head_bytes
        self._buffer = np.empty(int(ends[-1]), np.uint8)

    def put(self, places: NDArray[np.int64], rows: NDArray[np.generic]) -> None:
        """Write one row to each place.

        Args:
            places: shape (k,), dtype int64: in the buffer.
            rows: shape (k, m), any dtype, contiguous: m items for each place. Shape (1, m): the
                same for all.
        """
        width_bytes = rows.shape[1] * rows.itemsize
        windows(self._buffer, width_bytes)[places] = rows.view(f"V{width_bytes}")[:, 0]

    def put_cuttings(
        self,
        places: NDArray[np.int64],
        source: NDArray[np.uint8],
        offsets: NDArray[np.int64],
        lengths: NDArray[np.int64],
    ) -> None:
        """Write a part of `source` to each place: as `copy_cuttings`."""
        copy_cuttings(self._buffer, places, source, offsets, lengths)

    def buffers(self) -> list[Buffer]:
        """What to write, in order; the packets' buffer is referred to where they are long."""
        packets = self._packets
        if self._copies:
            copy_cuttings(
                self._buffer, self._bodies, packets.buffer, packets.offsets, packets.captured_bytes
            )
            return [self._buffer.data]
        cuts = self._bodies.tolist()
        frame, source = self._buffer.data, packets.buffer.data
        ends = packets.offsets + packets.captured_bytes
        pieces: list[Buffer] = [b""] * (2 * len(packets) + 1)
        pieces[::2] = [
            frame[a:b] for a, b in zip([0, *cuts], [*cuts, len(self._buffer)], strict=True)
        ]
        pieces[1::2] = [
            source[a:b] for a, b in zip(packets.offsets.tolist(), ends.tolist(), strict=True)
        ]
        return pieces


def windows(buffer: NDArray[np.uint8], width_bytes: int) -> NDArray[np.void]:
    """All stretches of a buffer that are so long, wherever they start, overlapping each other.

    Taking or setting some of these by index is one memcpy each, without Python in between.

    Args:
        buffer: shape (bytes,), dtype uint8, contiguous.
        width_bytes: at least 1.

    Returns:
        Shape (bytes - width_bytes + 1,), dtype void: a view.
    """
    places = max(0, len(buffer) - width_bytes + 1)
    dtype = np.dtype(f"V{width_bytes}")
    if not places:
        return np.empty(0, dtype)
    return np.ndarray((places,), dtype, buffer, 0, (1,))


def copy_cuttings(
    target: NDArray[np.uint8],
    places: NDArray[np.int64],
    source: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> None:
    """Copy a part of `source` to each place of `target`; parts of any length, many at once.

    All are sorted into classes by the power of two below their length; in each class that much is
    copied from the start, and once more up to the end. The two overlap, which does no harm.

    Args:
        target: shape (bytes,), dtype uint8.
        places: shape (n,), dtype int64: where in `target`; the parts may not overlap there.
        source: shape (bytes,), dtype uint8.
        offsets: shape (n,), dtype int64: where in `source`.
        lengths: shape (n,), dtype int64.
    """
    if not len(lengths):
        return
    longest = int(lengths.max())
    if longest == int(lengths.min()):
        if longest:
            _copy(target, places, source, offsets, longest)
        return
    exponents = np.frexp(lengths)[1]  # 1 for a length of 1, 0 for 0
    for exponent in np.flatnonzero(np.bincount(exponents)).tolist():
        if not exponent:
            continue
        rows = np.flatnonzero(exponents == exponent)
        width_bytes = 1 << (exponent - 1)
        starts, stops = offsets[rows], places[rows]
        _copy(target, stops, source, starts, width_bytes)
        rest = lengths[rows] - width_bytes
        _copy(target, stops + rest, source, starts + rest, width_bytes)


def _copy(
    target: NDArray[np.uint8],
    places: NDArray[np.int64],
    source: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    width_bytes: int,
) -> None:
    """Parts of one length. A few at a time, so that they stay in the processor's cache between."""
    there, here = windows(target, width_bytes), windows(source, width_bytes)
    step = max(1, _CACHED_BYTES // width_bytes)
    for first in range(0, len(places), step):
        there[places[first : first + step]] = here[offsets[first : first + step]]
