"""Points in time as the command line prints them, in UTC.

In: seconds and nanoseconds of a protobuf Timestamp. Out: text in one of the named formats of
Hubble's command line. A formatter remembers the text of the second it saw last, because thousands
of flows share one. Used by every printer; `rfc3339` also by the JSON encoder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from palomar.timestamps import MONTHS, WEEKDAYS

Formatter = Callable[[int, int], str]
"""Takes seconds since the Unix epoch and nanoseconds."""

UNKNOWN_TIME = "N/A"
"""Stands for a Timestamp outside the years 1 to 9999 or with a bad fraction."""

_NANOS_PER_SECOND = 1_000_000_000
_MIN_SECONDS = -62_135_596_800  # 0001-01-01T00:00:00Z
_MAX_SECONDS = 253_402_300_799  # 9999-12-31T23:59:59Z
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one format is put together: `second`, a fraction, `zone`."""

    second: Callable[[datetime], str]
    zone: str = ""
    digits: int = 0
    """Fraction digits; digits beyond are cut off, not rounded."""
    trim: bool = False
    """Whether zeros at the end of the fraction are left out."""


def _day(t: datetime) -> str:
    return f"{t.year:04d}-{t.month:02d}-{t.day:02d}"


def _hour(t: datetime) -> str:
    return f"{_day(t)}T{t.hour:02d}"


def _minute(t: datetime) -> str:
    return f"{_hour(t)}:{t.minute:02d}"


def _second(t: datetime) -> str:
    return f"{_minute(t)}:{t.second:02d}"


def _stamp(t: datetime) -> str:
    return f"{MONTHS[t.month - 1]} {t.day:2d} {t.hour:02d}:{t.minute:02d}:{t.second:02d}"


def _rfc_1123(t: datetime) -> str:
    month = MONTHS[t.month - 1]
    clock = f"{t.hour:02d}:{t.minute:02d}:{t.second:02d}"
    return f"{WEEKDAYS[t.weekday()]}, {t.day:02d} {month} {t.year:04d} {clock} +0000"


_LAYOUTS = {
    "StampMilli": _Layout(_stamp, digits=3),
    "YearMonthDay": _Layout(_day),
    "YearMonthDayHour": _Layout(_hour, "Z"),
    "YearMonthDayHourMinute": _Layout(_minute, "Z"),
    "RFC3339": _Layout(_second, "Z"),
    "RFC3339Milli": _Layout(_second, "Z", digits=3, trim=True),
    "RFC3339Micro": _Layout(_second, "Z", digits=6, trim=True),
    "RFC3339Nano": _Layout(_second, "Z", digits=9, trim=True),
    "RFC1123Z": _Layout(_rfc_1123),
}

TIME_FORMATS = tuple(_LAYOUTS)
"""Names of the formats; the first is the default."""

_BY_LOWER_NAME = {name.lower(): layout for name, layout in _LAYOUTS.items()}


def time_formatter(name: str = TIME_FORMATS[0]) -> Formatter:
    """Make a formatter for a named format.

    Args:
        name: One of `TIME_FORMATS`, in any case. An unknown name means the default, as in Hubble.
    """
    layout = _BY_LOWER_NAME.get(name.lower(), _LAYOUTS[TIME_FORMATS[0]])
    is_default = layout is _LAYOUTS[TIME_FORMATS[0]]
    fraction = _fraction_of(layout)
    zone = layout.zone
    cached: tuple[int | None, str] = None, ""  # one value, so that threads may share a formatter

    def format_time(seconds: int, nanos: int) -> str:
        nonlocal cached
        cached_second, text = cached
        if seconds != cached_second:
            if not _MIN_SECONDS <= seconds <= _MAX_SECONDS:
                return UNKNOWN_TIME
            text = layout.second(_EPOCH + timedelta(seconds=seconds))
            cached = seconds, text
        if not 0 <= nanos < _NANOS_PER_SECOND:
            return UNKNOWN_TIME
        if is_default:  # for every flow, so without a call
            return f"{text}.{nanos // 1_000_000:03d}"
        return text + fraction(nanos) + zone

    return format_time


def _fraction_of(layout: _Layout) -> Callable[[int], str]:
    digits = layout.digits
    if not digits:
        return lambda _nanos: ""
    divisor = 10 ** (9 - digits)
    if not layout.trim:
        return lambda nanos: f".{nanos // divisor:0{digits}d}"

    def trimmed(nanos: int) -> str:
        text = f"{nanos // divisor:0{digits}d}".rstrip("0")
        return f".{text}" if text else ""

    return trimmed


def rfc3339_formatter() -> Formatter:
    """Make a formatter for protobuf's JSON: RFC 3339 with 0, 3, 6 or 9 fraction digits."""
    whole_second = time_formatter("RFC3339")
    cached: tuple[int | None, str] = None, ""

    def format_time(seconds: int, nanos: int) -> str:
        nonlocal cached
        cached_second, text = cached
        if seconds != cached_second or not 0 < nanos < _NANOS_PER_SECOND:
            text = whole_second(seconds, nanos)
            if not nanos or text == UNKNOWN_TIME:
                return text
            text = text[:-1]
            cached = seconds, text
        if nanos % 1_000:
            return f"{text}.{nanos:09d}Z"
        if nanos % 1_000_000:
            return f"{text}.{nanos // 1_000:06d}Z"
        return f"{text}.{nanos // 1_000_000:03d}Z"

    return format_time
