"""Slow questions about numbers in rows, each asked once and remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from palomar_server.table import Mask

SLOTS_MAX = 16_384
"""Answers kept: about as many different ones as rows are looked at in one go; 300 KiB at most."""
_SLOTS_MIN = 256
_UNKNOWN, _NO = np.uint8(0), 1
_MULTIPLIERS = tuple(
    np.uint64(odd) for odd in (0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9)
)
_FOLD = np.uint64(29)


class Answers:
    """Answers by one to three numbers, looked up for whole columns.

    A hash table with one slot a key: keys that share a slot push each other out and are asked
    again. It grows with the number of keys.

    Args:
        ask: the question; gets one number for each column.
        width: how many columns there are.
    """

    def __init__(self, ask: Callable[..., bool], width: int) -> None:
        self._ask = ask
        self._width = width
        self._resize(_SLOTS_MIN)

    def _resize(self, slots: int) -> None:
        self._keys = [np.zeros(slots, np.uint64) for _ in range(self._width)]
        self._answers = np.zeros(slots, np.uint8)
        self._asker = np.zeros(slots, np.int32)
        self._shift = np.uint64(65 - slots.bit_length())
        self._asked = 0

    def forget(self) -> None:
        """Drop all answers."""
        self._answers[:] = _UNKNOWN
        self._asked = 0

    def look_up(self, *columns: NDArray[np.uint64]) -> Mask:
        """The answers for n rows.

        Args:
            columns: the numbers, each of shape (n,), dtype uint64.

        Returns:
            Shape (n,), dtype bool.
        """
        if 2 * self._asked > len(self._answers) and len(self._answers) < SLOTS_MAX:
            self._resize(2 * len(self._answers))
        slots = self._slots(columns)
        known = self._known(slots, columns)
        answers: Mask = self._answers[slots] > _NO
        missing = (~known).nonzero()[0]
        while len(missing):
            self._learn(slots[missing], [column[missing] for column in columns])
            # Before the next round, which may push these out.
            at = slots[missing]
            known = self._known(at, [column[missing] for column in columns])
            answers[missing[known]] = self._answers[at[known]] > _NO
            missing = missing[~known]
        return answers

    def _slots(self, columns: tuple[NDArray[np.uint64], ...]) -> NDArray[np.intp]:
        mixed = columns[0] * _MULTIPLIERS[0]
        for column, multiplier in zip(columns[1:], _MULTIPLIERS[1:], strict=False):
            mixed ^= column * multiplier
        mixed ^= mixed >> _FOLD
        mixed *= _MULTIPLIERS[1]
        mixed >>= self._shift
        return mixed.astype(np.intp)

    def _known(
        self,
        slots: NDArray[np.intp],
        columns: tuple[NDArray[np.uint64], ...] | list[NDArray[np.uint64]],
    ) -> Mask:
        known: Mask = self._answers[slots] != _UNKNOWN
        for key, column in zip(self._keys, columns, strict=True):
            known &= key[slots] == column
        return known

    def _learn(self, slots: NDArray[np.intp], columns: list[NDArray[np.uint64]]) -> None:
        """Ask for one row of each slot."""
        numbers = np.arange(len(slots), dtype=np.int32)
        self._asker[slots] = numbers
        chosen = (self._asker[slots] == numbers).nonzero()[0]
        keys = [column[chosen] for column in columns]
        rows = zip(*(key.tolist() for key in keys), strict=True)
        # First: where it raises, the slots keep the keys that their answers are for.
        answers = [_NO + self._ask(*row) for row in rows]
        at = slots[chosen]
        for own, key in zip(self._keys, keys, strict=True):
            own[at] = key
        self._answers[at] = answers
        self._asked += len(chosen)
