"""Whole numbers in text as Go's strconv.ParseInt reads them, in base 10 and 64 bits."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?[0-9]+")
_DIGITS_MAX = 19
_MAX = (1 << 63) - 1


def parse_int64(text: str) -> int | None:
    """The number; None if the text is none, or it does not fit into 64 bits."""
    if not _NUMBER.fullmatch(text):
        return None
    # Without leading zeros, since Python refuses to convert thousands of digits.
    digits = text.lstrip("+-").lstrip("0")
    if len(digits) > _DIGITS_MAX:
        return None
    number = int(digits or "0")
    if text.startswith("-"):
        number = -number
    return number if -_MAX - 1 <= number <= _MAX else None
