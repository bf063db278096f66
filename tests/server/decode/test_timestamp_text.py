from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.decode.timestamp_text import parse_time


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123_456_789),
        ("2023-11-14T22:13:20.1Z", 1_700_000_000_100_000_000),
        ("2023-11-14T22:13:20+02:00", 1_699_992_800_000_000_000),
        ("2023-11-14T20:13:20-02:00", 1_700_000_000_000_000_000),
        # What Go takes beyond RFC 3339: a comma, more digits, an hour of one digit.
        ("2023-11-14T22:13:20,12345678999Z", 1_700_000_000_123_456_789),
        ("1970-01-01T1:00:00Z", 3_600_000_000_000),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
        ("0000-12-31T23:00:00-01:00", -62_135_596_800_000_000_000),
    ],
)
def test_times(text: str, time_ns: int) -> None:
    assert parse_time(text) == time_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2023-11-14",
        "2023-11-14 22:13:20Z",
        "2023-11-14T22:13:20",
        "2023-11-14T22:13:20z",
        "2023-02-29T00:00:00Z",
        "2023-11-14T24:00:00Z",
        "2023-11-14T22:13:60Z",
        "2023-11-14T22:13:20+25:00",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "٢٠٢٣-11-14T22:13:20Z",  # digits of another script
    ],
)
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|range|1 to 9999"):
        parse_time(text)


@given(st.datetimes())
def test_agrees_with_the_calendar(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    expected = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    assert parse_time(f"{moment.replace(tzinfo=None).isoformat()}Z") == expected
