"""A bounded table of distinct values: columns hold the row number, the table holds the value."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Interned(Generic[T]):
    """Gives each distinct value a row number that never changes; row 0 means none.

    When `rows_max` values are there, further ones get row 0 and are counted in `refused`: a flow
    then lacks that detail rather than the node its memory.
    """

    def __init__(self, none: T, *, rows_max: int = 65_535) -> None:
        self._values: list[T] = [none]
        self._rows: dict[T, int] = {}
        self._rows_max = rows_max
        self.refused = 0

    def __len__(self) -> int:
        return len(self._values)

    def row(self, value: T) -> int:
        """The row of `value`, made if it is new."""
        row = self._rows.get(value)
        if row is None:
            if len(self._values) > self._rows_max:
                self.refused += 1
                return 0
            row = len(self._values)
            self._values.append(value)
            self._rows[value] = row
        return row

    def value(self, row: int) -> T:
        """The value at `row`; the none value for row 0."""
        return self._values[row]
