"""Times as text, RFC 3339, as Go's time.Parse reads them and protobuf's Timestamp can hold them."""

from __future__ import annotations

import re
from datetime import date

_PATTERN = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_DIGITS = 9
"""Decimals of a second; Go ignores further ones."""
_YEARS, _YEARS_DAYS = 400, 146_097
"""The calendar repeats itself."""
_YEAR = 2000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799
"""Of a Timestamp: years 1 to 9999."""


def parse_time(text: str) -> int:
    """UTC nanoseconds since 1970; negative before.

    Raises:
        ValueError: it is no RFC 3339 time, or outside of the years 1 to 9999 in UTC.
    """
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:64]!r} is no RFC 3339 time")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = found.groups()[6:]
    offset_s = 0
    if sign:
        offset_hour, offset_minute = int(offset_hours), int(offset_minutes)
        if offset_hour > 24 or offset_minute > 60:  # noqa: PLR2004 - Go's bounds, a step too wide
            raise ValueError(f"the offset of {text!r} is out of range")
        offset_s = (offset_hour * 60 + offset_minute) * (60 if sign == "+" else -60)
    if hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004 - a clock's
        raise ValueError(f"the time of day of {text!r} is out of range")
    # Python has no year 0, which an offset may yet turn into year 1.
    days = date(_YEAR + year % _YEARS, month, day).toordinal() - _EPOCH_DAY
    days += (year // _YEARS - _YEAR // _YEARS) * _YEARS_DAYS
    seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset_s
    if not _FIRST_S <= seconds <= _LAST_S:
        raise ValueError(f"{text!r} is not within the years 1 to 9999 in UTC")
    return seconds * 1_000_000_000 + int((fraction or "")[:_DIGITS].ljust(_DIGITS, "0"))
