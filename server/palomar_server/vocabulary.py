"""Dense numbers for the distinct values of a column, in the order in which they appear.

Whoever counts flows by a value counts by its number instead: an index into an array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes: TypeAlias = NDArray[np.int64]
    """Shape (n,): a dense number for each of n rows."""

_SMALL = 1 << 17
"""Keys below this have their number in a table of 512 KiB: ports, and rows of other tables."""
_UNKNOWN = -1


class Vocabulary:
    """Numbers keys from 0 on. It has at most as many as rows that were put in."""

    def __init__(self) -> None:
        self.keys: list[int] = []
        """The keys by their number."""
        self._numbers: dict[int, int] = {}
        self._small: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def codes(self, keys: NDArray[np.uint64]) -> Codes:
        """The number of each key; new ones are added.

        Args:
            keys: shape (n,), dtype uint64.
        """
        if not len(keys):
            return np.zeros(0, np.int64)
        if keys.max() < _SMALL:
            return self._from_table(keys)
        distinct, places = np.unique(keys, return_inverse=True)
        return self._numbered(distinct)[places]

    def _from_table(self, keys: NDArray[np.uint64]) -> Codes:
        if self._small is None:
            self._small = np.full(_SMALL, _UNKNOWN, np.int32)
            for key, number in self._numbers.items():
                if key < _SMALL:
                    self._small[key] = number
        codes = self._small[keys]
        if codes.min() == _UNKNOWN:
            fresh = np.unique(keys[codes == _UNKNOWN])
            self._small[fresh] = self._numbered(fresh)
            codes = self._small[keys]
        return codes.astype(np.int64)

    def _numbered(self, distinct: NDArray[np.uint64]) -> Codes:
        numbers, known = self._numbers, self.keys
        found = []
        for key in distinct.tolist():
            number = numbers.get(key)
            if number is None:
                number = numbers[key] = len(known)
                known.append(key)
            found.append(number)
        return np.array(found, np.int64)


class AddressVocabulary:
    """The same for addresses, which are two columns."""

    def __init__(self) -> None:
        self._upper = Vocabulary()
        self._lower = Vocabulary()
        self._pairs = Vocabulary()

    def codes(self, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> Codes:
        """The number of each address; new ones are added.

        Args:
            hi: upper halves, shape (n,), dtype uint64.
            lo: lower halves, likewise.
        """
        return self._pairs.codes(pair_keys(self._upper.codes(hi), self._lower.codes(lo)))

    def address(self, code: int) -> tuple[int, int]:
        """The (hi, lo) of a number."""
        upper, lower = split_pair(self._pairs.keys[code])
        return self._upper.keys[upper], self._lower.keys[lower]


_PAIR_BITS = 32


def pair_keys(first: Codes, second: Codes) -> NDArray[np.uint64]:
    """One key for two numbers below 2^32; shapes (n,)."""
    keys: NDArray[np.uint64] = (first << _PAIR_BITS | second).astype(np.uint64)
    return keys


def split_pair(key: int) -> tuple[int, int]:
    """The two numbers of a key of `pair_keys`."""
    return key >> _PAIR_BITS, key & (1 << _PAIR_BITS) - 1
