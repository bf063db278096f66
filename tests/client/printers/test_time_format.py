from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar.printers.time_format import TIME_FORMATS, rfc3339_formatter, time_formatter

SECONDS = int(datetime(2024, 3, 5, 10, 20, 30, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("StampMilli", "Mar  5 10:20:30.120"),
        ("YearMonthDay", "2024-03-05"),
        ("YearMonthDayHour", "2024-03-05T10Z"),
        ("YearMonthDayHourMinute", "2024-03-05T10:20Z"),
        ("RFC3339", "2024-03-05T10:20:30Z"),
        ("RFC3339Milli", "2024-03-05T10:20:30.12Z"),
        ("RFC3339Micro", "2024-03-05T10:20:30.12Z"),
        ("RFC3339Nano", "2024-03-05T10:20:30.12000005Z"),
        ("rfc3339nano", "2024-03-05T10:20:30.12000005Z"),
        ("RFC1123Z", "Tue, 05 Mar 2024 10:20:30 +0000"),
        ("unheard-of", "Mar  5 10:20:30.120"),
    ],
)
def test_formats(name: str, text: str) -> None:
    assert time_formatter(name)(SECONDS, 120_000_050) == text


def test_whole_seconds_have_no_fraction_where_zeros_are_left_out() -> None:
    assert time_formatter("RFC3339Nano")(SECONDS, 0) == "2024-03-05T10:20:30Z"
    assert time_formatter("StampMilli")(SECONDS, 0) == "Mar  5 10:20:30.000"


@pytest.mark.parametrize("name", TIME_FORMATS)
@pytest.mark.parametrize("stamp", [(2**60, 0), (-(2**60), 0), (0, -1), (0, 10**9)])
def test_impossible_stamps_are_not_available(name: str, stamp: tuple[int, int]) -> None:
    assert time_formatter(name)(*stamp) == "N/A"


@given(st.lists(st.integers(-62_135_596_800, 253_402_300_799), max_size=10))
def test_remembered_second_is_never_a_wrong_one(stamps: list[int]) -> None:
    remembering = time_formatter("RFC3339")
    for seconds in [*stamps, *stamps]:
        assert remembering(seconds, 0) == time_formatter("RFC3339")(seconds, 0)


@pytest.mark.parametrize(
    ("nanos", "end"),
    [(0, "30Z"), (5 * 10**8, "30.500Z"), (1000, "30.000001Z"), (1, "30.000000001Z")],
)
def test_json_has_fractions_of_three_six_or_nine_digits(nanos: int, end: str) -> None:
    assert rfc3339_formatter()(SECONDS, nanos).endswith(end)
