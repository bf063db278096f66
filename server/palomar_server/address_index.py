"""From address columns to endpoint rows: a chained hash table that is probed for whole columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from palomar_server.address import Address

Tenure: TypeAlias = tuple[int, int]
"""(UTC ns from which, endpoint row; 0 for nobody): one owner of an address."""

_MULTIPLIER_HI = np.uint64(0x9E37_79B9_7F4A_7C15)
_MULTIPLIER_LO = np.uint64(0xC2B2_AE3D_27D4_EB4F)
_SLOT_BITS_MIN = 12
_SLOTS_PER_ENTRY = 4


class AddressIndex:
    """An immutable index over addresses and their successive owners.

    Args:
        owners: the tenures of each address, oldest first, at least one.
    """

    def __init__(self, owners: Mapping[Address, Sequence[Tenure]]) -> None:
        entries = [
            (address, tenure, age)
            for address, tenures in owners.items()
            for age, tenure in enumerate(tenures)
        ]
        count = len(entries)
        bits = max(_SLOT_BITS_MIN, (_SLOTS_PER_ENTRY * count).bit_length())
        self._shift = np.uint64(64 - bits)
        # Entry 0 is the empty one: every chain ends there, and it belongs to row 0.
        self._hi = np.array([0, *(address[0] for address, _, _ in entries)], np.uint64)
        self._lo = np.array([0, *(address[1] for address, _, _ in entries)], np.uint64)
        self._since_ns = np.array([0, *(tenure[0] for _, tenure, _ in entries)], np.uint64)
        self._row = np.array([0, *(tenure[1] for _, tenure, _ in entries)], np.uint32)
        self._next = np.zeros(count + 1, np.int32)
        self._older = np.zeros(count + 1, np.int32)
        self._slot = np.zeros(1 << bits, np.int32)
        # Times matter only once an address has changed hands.
        self._timed = bool(np.count_nonzero(self._since_ns))
        slots = self._hash(self._hi[1:], self._lo[1:]).tolist()
        for entry, (_, _, age) in enumerate(entries, start=1):
            if age:
                self._older[entry] = entry - 1
                self._replace(slots[entry - 1], entry - 1, entry)
            else:
                self._next[entry] = self._slot[slots[entry - 1]]
                self._slot[slots[entry - 1]] = entry

    def _replace(self, slot: int, old: int, new: int) -> None:
        # The older tenure was put at the head of its chain just before.
        self._slot[slot] = new
        self._next[new] = self._next[old]

    def _hash(self, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> NDArray[np.uint64]:
        mixed = lo * _MULTIPLIER_LO
        mixed ^= hi * _MULTIPLIER_HI
        mixed ^= mixed >> np.uint64(29)
        mixed *= _MULTIPLIER_HI
        mixed >>= self._shift
        return mixed

    def rows(
        self, hi: NDArray[np.uint64], lo: NDArray[np.uint64], time_ns: NDArray[np.uint64]
    ) -> NDArray[np.uint32]:
        """Rows that owned n addresses at n times; shape (n,), dtype uint32, 0 for nobody."""
        entry = self._slot[self._hash(hi, lo)]
        while True:
            other = (self._lo[entry] != lo) | (self._hi[entry] != hi)
            other &= entry != 0
            if not np.count_nonzero(other):
                break
            entry[other] = self._next[entry[other]]
        if self._timed:
            while (early := self._since_ns[entry] > time_ns).any():
                entry[early] = self._older[entry[early]]
        return self._row[entry]
