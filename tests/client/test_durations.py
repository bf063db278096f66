import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar.durations import NS_MAX, duration_text
from palomar.timestamps import duration_ns

SECOND_NS = 10**9


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_000, "1µs"),
        (1_500, "1.5µs"),
        (250 * 10**6, "250ms"),
        (1_500_000_000, "1.5s"),
        (60 * SECOND_NS, "1m0s"),
        (3600 * SECOND_NS, "1h0m0s"),
        (36_187_010_000_000, "10h3m7.01s"),
        (90_000 * SECOND_NS, "25h0m0s"),
        (NS_MAX, "2562047h47m16.854775807s"),
        (NS_MAX + 1, "9223372036854775808ns"),
    ],
)
def test_only_the_units_and_digits_it_takes(nanoseconds: int, text: str) -> None:
    assert duration_text(nanoseconds) == text


@given(st.integers(0, NS_MAX))
def test_text_is_read_back(nanoseconds: int) -> None:
    assert duration_ns(duration_text(nanoseconds)) == nanoseconds
