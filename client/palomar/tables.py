"""Rows of text laid out in columns, as Go's text/tabwriter does for Hubble.

In: rows of cells. Out: lines. A column is as wide as its widest cell and a gap of three spaces;
the last cell of a row is ragged and widens nothing. A row with fewer cells ends the columns it
does not reach: above and below it they have widths of their own. That is the rule of elastic
tabstops, which the recorded outputs of Hubble depend on.

Cells must be fit to show already (`printers.escape`). Used for the small answers; the table of
flows (`printers.table`) has the same look.
"""

from collections.abc import Sequence
from itertools import groupby

_GAP_CHARACTERS = 3


def table_text(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows, each ending in a line end."""
    padded = [list(row) for row in rows]
    for column in range(max(map(len, rows), default=0)):
        # Consecutive rows in which this column is not the last one share its width.
        for shared, run in groupby(padded, lambda row, column=column: len(row) > column + 1):  # type: ignore[misc]  # mypy takes no default of a lambda
            if not shared:
                continue
            block = list(run)
            width = max(len(row[column]) for row in block) + _GAP_CHARACTERS
            for row in block:
                row[column] = row[column].ljust(width)
    return "".join(["".join(row) + "\n" for row in padded])
