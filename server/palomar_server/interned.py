"""A bounded table of distinct values: columns hold the row number, the table holds the value."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Interned(Generic[T]):
    """Gives each distinct value a row number; row 0 means none.

    When `rows_max` values are there, a new one takes the row that was asked for longest ago, if no
    event of the ring can refer to it any more. Else it gets row 0 and is counted in `refused`: a
    flow then lacks that detail rather than the node its memory.
    """

    def __init__(self, none: T, *, rows_max: int = 65_535) -> None:
        self._values: list[T] = [none]
        # In the order of last use; the value is (row, when it was last asked for).
        self._rows: dict[T, tuple[int, int]] = {}
        self._rows_max = rows_max
        self.generation = 0
        """Grows when a row gets another meaning; caches over rows must then be dropped."""
        self.refused = 0

    def __len__(self) -> int:
        return len(self._values)

    def row(self, value: T, now_ns: int = 0, oldest_ns: int = 0) -> int:
        """The row of `value`, made if it is new.

        Args:
            value: what to look up.
            now_ns: time of the event that refers to it.
            oldest_ns: time of the oldest event that may refer to a row.
        """
        known = self._rows.pop(value, None)
        if known is not None:
            self._rows[value] = (known[0], max(known[1], now_ns))
            return known[0]
        if len(self._values) <= self._rows_max:
            row = len(self._values)
            self._values.append(value)
        else:
            stale = next(iter(self._rows), None)
            if stale is None or self._rows[stale][1] >= oldest_ns:
                self.refused += 1
                return 0
            row = self._rows.pop(stale)[0]
            self._values[row] = value
            self.generation += 1
        self._rows[value] = (row, now_ns)
        return row

    def value(self, row: int) -> T:
        """The value at `row`; the none value for row 0."""
        return self._values[row]
