"""Numbers as people read them: counts, bytes, rates, times; and tables of them.

Used by the commands that answer with figures (`summary`, `top`, `hint_list`). For programs there is
`-o json`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from palomar.tables import table_text

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_STEP = 1024
_NARROW = 100
"""From here on a decimal adds nothing to read."""

_BARS = "▁▂▃▄▅▆▇█"


def count_text(number: int) -> str:
    """Write a number with its thousands apart."""
    return f"{number:,}"


def bytes_text(number: float) -> str:
    """Write a size in bytes in the largest unit it has one of."""
    unit = 0
    while number >= _STEP and unit < len(_UNITS) - 1:
        number /= _STEP
        unit += 1
    digits = 1 if unit and number < _NARROW else 0
    return f"{number:,.{digits}f} {_UNITS[unit]}"


def rate_text(per_second: float) -> str:
    """Write a rate; small ones with decimals, since a tenth of a flow per second is not none."""
    return f"{per_second:,.{0 if per_second >= _NARROW else 1}f}"


def time_text(time: "Timestamp", *, precise: bool = False) -> str:
    """Write a time in UTC, to the second.

    Args:
        time: The time.
        precise: Whether to write milliseconds as well.
    """
    decimals = f".{time.nanos // 1_000_000:03d}" if precise else ""
    try:
        return f"{time.ToDatetime():%Y-%m-%d %H:%M:%S}{decimals}Z"
    except (ValueError, OverflowError):  # beyond the years that there are
        return f"{time.seconds} s"


def bars(values: Sequence[int]) -> str:
    """Draw values as a row of bars, the highest one full and none for zero."""
    highest = max(values, default=0)
    if not highest:
        return " " * len(values)
    top = len(_BARS) - 1
    return "".join(_BARS[value * top // highest] if value else " " for value in values)


def figures_table(
    heading: Sequence[str], rows: Sequence[Sequence[str]], *, names: int, plain: int = 0
) -> str:
    """Lay out names on the left and figures behind them, figures flush right.

    Args:
        heading: Titles of the columns.
        rows: The cells; fit to show already.
        names: How many columns are names.
        plain: How many columns at the end are neither, and flush left.
    """
    table = [list(heading), *(list(row) for row in rows)]
    for column in range(names, len(heading) - plain):
        width = max(len(row[column]) for row in table)
        for row in table:
            row[column] = row[column].rjust(width)
    return "".join(line.rstrip() + "\n" for line in table_text(table).splitlines())
