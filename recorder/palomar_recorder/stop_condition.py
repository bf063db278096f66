"""How many packets a recording takes: exactly as many as were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_recorder.ending import Ending

if TYPE_CHECKING:
    from numpy.typing import NDArray


class StopCondition:
    """Counts what it admits; for one recording and one thread at a time.

    Args:
        packets: take so many; 0 for any number.
        bytes: take packets until so many captured bytes are reached; the packet that reaches them
            is the last. 0 for any number.
    """

    def __init__(self, packets: int = 0, bytes: int = 0) -> None:  # noqa: A002 - as the API says it
        if packets < 0 or bytes < 0:
            raise ValueError(f"packets {packets}, bytes {bytes}: 0 is the least")
        self._packets_left = packets or None
        self._bytes_left = bytes or None
        self._reached: Ending | None = None

    def admit(self, captured_bytes: NDArray[np.int64]) -> tuple[int, Ending | None]:
        """Take packets from the front of some.

        Args:
            captured_bytes: shape (n,), dtype int64; of each packet, in their order.

        Returns:
            How many are admitted, and which condition that reached; `PACKETS` if it was both.
            Behind that nothing is admitted any more.
        """
        if self._reached is not None:
            return 0, self._reached
        count = len(captured_bytes)
        if count == 0 or (self._packets_left is None and self._bytes_left is None):
            return count, None
        if self._packets_left is not None and count >= self._packets_left:
            count, self._reached = self._packets_left, Ending.PACKETS
        if self._bytes_left is not None:
            sums = np.cumsum(captured_bytes[:count])
            enough = int(np.searchsorted(sums, self._bytes_left)) + 1
            if enough < count or (enough == count and self._reached is None):
                count, self._reached = enough, Ending.BYTES
            self._bytes_left -= int(sums[count - 1])
        if self._packets_left is not None:
            self._packets_left -= count
        return count, self._reached
