"""Points in time as users write them in; nanoseconds since the Unix epoch out.

A time is a duration in the past in Go's notation (`5m`, `1h30m`, `-2h` for the future) or one of
the date formats of Hubble's command line: RFC 3339 down to any fraction, the same cut off after
the day, hour or minute, and RFC 1123 with a numeric zone. Beyond Hubble's, `now`, days (`2d`), a
blank for the `T`, lower case, no zone for UTC and a time of today (UTC) are understood;
`is_hubble_time` tells the two apart. Called by `requests`.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

from palomar.errors import InvalidRequest

When = str | datetime | timedelta
"""A point in time: text as above, a datetime with a zone, or a timedelta in the past."""

SECOND_NS = 1_000_000_000

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "μs": 1_000,  # Greek mu, which Go takes as well
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_DURATION_NS_MAX = 2**63 - 1  # Go keeps durations in an int64, about 292 years

_TERM = re.compile(r"(?:(\d{1,40})(?:\.(\d{0,40}))?|\.(\d{1,40}))(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"([+-]?)((?:{_TERM.pattern})+)", re.ASCII)

_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:T(\d\d?)(?::(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?(Z|[+-]\d\d:\d\d))?",
    re.ASCII,
)
# Not compiled ahead: few runs of the command line get that far.
_LOOSE_DATE = (
    r"(\d{4}-\d\d-\d\d)[T ]+(\d\d?(?::\d\d(?::\d\d(?:[.,]\d+)?)?)?) ?(Z|UTC|[+-]\d\d:?\d\d)?"
)
_TIME_OF_DAY = r"(\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?) ?(Z|UTC|[+-]\d\d:?\d\d)?"
_DAYS = r"(\d{1,6})([DW])"
_DAY_NS = 86_400 * SECOND_NS
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# Go takes any number of blanks for one, and a fraction of the second everywhere.
_RFC_1123 = (
    rf"(?:{'|'.join(WEEKDAYS)}), +(\d\d) +({'|'.join(MONTHS)}) +(\d{{4}}) +"
    r"(\d\d?):(\d\d):(\d\d)(?:[.,](\d+))? +([+-]\d\d)(\d\d)"
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What google.protobuf.Timestamp can hold: the years 1 to 9999.
_MIN_NS = -62_135_596_800 * SECOND_NS
_MAX_NS = 253_402_300_800 * SECOND_NS - 1


def unix_ns(when: When, now_ns: int) -> int:
    """Turn a point in time into nanoseconds since the Unix epoch.

    Args:
        when: The time; a datetime without a zone is taken as UTC.
        now_ns: What durations count back from.

    Raises:
        InvalidRequest: The text is no duration and no date, or lies outside the years 1 to 9999.
    """
    if isinstance(when, timedelta):
        point_ns = now_ns - when // timedelta(microseconds=1) * 1_000
    elif isinstance(when, datetime):
        point_ns = _datetime_ns(when if when.tzinfo else when.replace(tzinfo=UTC))
    else:
        point_ns = _text_ns(when, now_ns)
    if not _MIN_NS <= point_ns <= _MAX_NS:
        raise InvalidRequest(f"time {when!r} is outside the years 1 to 9999")
    return point_ns


def duration_ns(text: str) -> int | None:
    """Read a duration in Go's notation: signed decimal numbers with units, such as `1h2m3.5s`.

    Returns:
        Nanoseconds, or `None` where the text is no duration.
    """
    if text in {"0", "+0", "-0"}:
        return 0
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    total_ns = 0
    for whole, fraction, bare_fraction, unit in _TERM.findall(match[2]):
        digits = fraction or bare_fraction
        unit_ns = _UNITS_NS[unit]
        total_ns += int(whole or 0) * unit_ns
        total_ns += int(digits or 0) * unit_ns // 10 ** len(digits)
    if total_ns > _DURATION_NS_MAX:
        return None
    return -total_ns if match[1] == "-" else total_ns


def is_hubble_time(text: str) -> bool:
    """Say whether the `hubble` command takes a text for a time."""
    return duration_ns(text) is not None or _exact_date_ns(text) is not None


def _text_ns(text: str, now_ns: int) -> int:
    past_ns = duration_ns(text)
    if past_ns is not None:
        return now_ns - past_ns
    point_ns = _exact_date_ns(text)
    if point_ns is None:
        point_ns = _loose_ns(" ".join(text.split()).upper(), now_ns)
    if point_ns is None:
        raise InvalidRequest(
            f"time {text!r} is neither a duration in the past (30s, 5m, 1h30m, 2d) nor a date "
            "(2024-03-05, 2024-03-05T10:20Z, 2024-03-05 10:20:30) nor a time of today (10:20)"
        )
    return point_ns


def _loose_ns(text: str, now_ns: int) -> int | None:
    """Read what nobody can take for something else, upper case and without blanks around."""
    if text == "NOW":
        return now_ns
    if days := re.fullmatch(_DAYS, text, re.ASCII):
        return now_ns - int(days[1]) * (7 if days[2] == "W" else 1) * _DAY_NS
    if match := re.fullmatch(_LOOSE_DATE, text, re.ASCII):
        day, clock, zone = match.groups()
    elif match := re.fullmatch(_TIME_OF_DAY, text, re.ASCII):
        clock, zone = match.groups()
        day = datetime.fromtimestamp(now_ns // SECOND_NS, UTC).date().isoformat()
    else:
        return None
    if zone is None or zone in {"Z", "UTC"}:
        zone = "Z"
    elif ":" not in zone:
        zone = f"{zone[:3]}:{zone[3:]}"
    return _exact_date_ns(f"{day}T{clock}{zone}")


def _exact_date_ns(text: str) -> int | None:
    """Read a date as Hubble writes them; `None` too for one that no calendar has."""
    try:
        return _date_ns(text)
    except (ValueError, OverflowError):  # a 31 February, an hour 25
        return None


def _date_ns(text: str) -> int | None:
    if match := _DATE.fullmatch(text):
        year, month, day, hour, minute, second, fraction, zone = match.groups()
        offset = _offset(zone[:3], zone[4:]) if zone and zone != "Z" else timedelta(0)
    elif match := re.fullmatch(_RFC_1123, text, re.ASCII | re.IGNORECASE):
        day, month_name, year, hour, minute, second, fraction, *zone_parts = match.groups()
        month = MONTHS.index(month_name.title()) + 1
        offset = _offset(*zone_parts)
    else:
        return None
    nanos = int((fraction or "0")[:9].ljust(9, "0"))
    point = datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
        tzinfo=timezone(offset),
    )  # fmt: skip
    return _datetime_ns(point) + nanos


def _offset(hours: str, minutes: str) -> timedelta:
    sign = -1 if hours.startswith("-") else 1
    return sign * timedelta(hours=int(hours[1:]), minutes=int(minutes))


def _datetime_ns(point: datetime) -> int:
    since_epoch = point - _EPOCH
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    return seconds * SECOND_NS + since_epoch.microseconds * 1_000
