import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palomar.errors import InvalidRequest
from palomar.timestamps import SECOND_NS, duration_ns, is_hubble_time, unix_ns

NOW_NS = 1_700_000_000 * SECOND_NS
UNITS_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
            "h": 3600 * 10**9}  # fmt: skip
DAY_NS = int(datetime(2024, 3, 5, tzinfo=UTC).timestamp()) * SECOND_NS
HOUR_NS = 3600 * SECOND_NS


@given(
    st.sampled_from(["", "+", "-"]),
    st.lists(
        st.tuples(st.integers(0, 10**5), st.sampled_from(sorted(UNITS_NS))),
        min_size=1,
        max_size=5,
    ),
)
def test_duration_is_the_sum_of_its_terms(sign: str, terms: list[tuple[int, str]]) -> None:
    text = sign + "".join(f"{number}{unit}" for number, unit in terms)
    total_ns = sum(number * UNITS_NS[unit] for number, unit in terms)
    assert duration_ns(text) == (-total_ns if sign == "-" else total_ns)


@given(st.integers(0, 10**6), st.integers(0, 999))
def test_duration_takes_fractions(whole: int, thousandths: int) -> None:
    assert duration_ns(f"{whole}.{thousandths:03d}s") == whole * 10**9 + thousandths * 10**6


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [("0", 0), ("1h43m", 6180 * 10**9), (".5s", 5 * 10**8), ("1.s", 10**9), ("1.5h", 5400 * 10**9),
     ("2562047h47m16.854775807s", 2**63 - 1)],
)  # fmt: skip
def test_durations_as_go_writes_them(text: str, expected_ns: int) -> None:
    assert duration_ns(text) == expected_ns


@pytest.mark.parametrize(
    "text", ["", "5", "1h43", "s", ".s", "-", "1 h", "3S", "٣s", "2562047h47m16.854775808s"]
)
def test_other_text_is_no_duration(text: str) -> None:
    assert duration_ns(text) is None


@given(st.text(max_size=40))
@example("9" * 5000 + "s")
@example("0." + "9" * 5000 + "s")
def test_any_text_is_a_time_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert isinstance(unix_ns(text, NOW_NS), int)


@given(st.datetimes(timezones=st.just(UTC)))
def test_rfc_3339_text_is_read_to_the_microsecond(point: datetime) -> None:
    expected_ns = (point - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    assert unix_ns(point.isoformat().replace("+00:00", "Z"), NOW_NS) == expected_ns
    assert unix_ns(point, NOW_NS) == expected_ns


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("2024-03-05", DAY_NS),
        ("2024-03-05T10Z", DAY_NS + 10 * HOUR_NS),
        ("2024-03-05T10:20Z", DAY_NS + 620 * 60 * SECOND_NS),
        ("2024-03-05T11:00:00+01:00", DAY_NS + 10 * HOUR_NS),
        ("2024-03-05T09:30:00-00:30", DAY_NS + 10 * HOUR_NS),
        ("2024-03-05T10:00:00.123456789Z", DAY_NS + 10 * HOUR_NS + 123456789),
        ("2024-03-05T10:00:00.5Z", DAY_NS + 10 * HOUR_NS + 5 * 10**8),
        ("Tue, 05 Mar 2024 10:00:00 +0000", DAY_NS + 10 * HOUR_NS),
        ("Tue, 05 Mar 2024 11:00:00 +0100", DAY_NS + 10 * HOUR_NS),
        ("Tue,  05 Mar 2024 10:00:00.5  +0000", DAY_NS + 10 * HOUR_NS + 500_000_000),
        ("1969-12-31T23:59:59Z", -SECOND_NS),
        ("1h", NOW_NS - HOUR_NS),
        ("-1h", NOW_NS + HOUR_NS),
    ],
)
def test_dates_and_durations(text: str, expected_ns: int) -> None:
    assert unix_ns(text, NOW_NS) == expected_ns


@pytest.mark.parametrize(
    "text",
    ["25:20", "not-a-time", "2024-03-05 10:20:99", "1h43", "5", "d", "10:20 CET", "2024-02-31",
     "2024-03-05T25Z", "Mar  5 10:20:40.000", "0001-01-01T00:00:00+01:00"],
)  # fmt: skip
def test_other_text_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidRequest, match="time"):
        unix_ns(text, NOW_NS)


def test_datetime_without_zone_is_utc_and_timedelta_is_past() -> None:
    assert unix_ns(datetime(2024, 3, 5), NOW_NS) == DAY_NS  # noqa: DTZ001 - the point
    paris = timezone(timedelta(hours=1))
    assert unix_ns(datetime(2024, 3, 5, 1, tzinfo=paris), NOW_NS) == DAY_NS
    assert unix_ns(timedelta(hours=1), NOW_NS) == NOW_NS - HOUR_NS


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("now", NOW_NS),
        ("2d", NOW_NS - 48 * HOUR_NS),
        ("1w", NOW_NS - 7 * 24 * HOUR_NS),
        ("2024-03-05t10:20:00z", DAY_NS + 620 * 60 * SECOND_NS),
        ("2024-03-05 10:20", DAY_NS + 620 * 60 * SECOND_NS),
        ("2024-03-05T10:20:00.5", DAY_NS + 620 * 60 * SECOND_NS + 5 * 10**8),
        ("2024-03-05 11:20:00 +0100", DAY_NS + 620 * 60 * SECOND_NS),
        (" 2024-03-05  10:20 utc", DAY_NS + 620 * 60 * SECOND_NS),
    ],
)
def test_what_hubble_does_not_take_but_can_only_mean_one_thing(text: str, expected_ns: int) -> None:
    assert unix_ns(text, NOW_NS) == expected_ns
    assert not is_hubble_time(text)


def test_a_time_alone_is_of_today() -> None:
    assert unix_ns("10:20", DAY_NS + 23 * HOUR_NS) == DAY_NS + 620 * 60 * SECOND_NS


@pytest.mark.parametrize(
    "text",
    ["3s", "1h43m", "-87600h", "0", "2024-03-05", "2024-03-05T10Z", "2024-03-05T9:20:40Z",
     "Tue, 05 Mar 2024 10:20:40 +0000", "tue, 05 mar 2024 10:20:40 +0000",
     "Tue,  05  Mar 2024 10:20:40,25 +0000"],
)  # fmt: skip
def test_what_hubble_takes_for_a_time(text: str) -> None:
    assert is_hubble_time(text)


@pytest.mark.parametrize(
    "text", ["1h43", "5", "", "10:20", "now", "Mar  5 10:20:40.000", "2024-03-05T24:00Z"]
)
def test_what_hubble_does_not_take_for_a_time(text: str) -> None:
    assert not is_hubble_time(text)


@given(st.text(max_size=30))
def test_no_text_breaks_the_reading_of_times(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        unix_ns(text, NOW_NS)
    is_hubble_time(text)
