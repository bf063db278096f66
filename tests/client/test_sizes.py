import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("1000", 1000),
        ("1_000", 1000),
        ("1,000", 1000),
        ("1,234,567k", 1_234_567_000),
        ("1k", 1000),
        ("1K", 1000),
        ("10M", 10_000_000),
        ("1Gi", 1 << 30),
        ("1gib", 1 << 30),
        ("2T", 2 * 10**12),
        ("1.5KiB", 1536),
        ("0.5M", 500_000),
        ("12 kB", 12_000),
        ("100B", 100),
    ],
)
def test_units_are_powers_of_1000_or_with_an_i_of_1024(text: str, number: int) -> None:
    assert parse_size(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "k", "-1", "1.5", "1i", "3q", "1e3", "0x10", "\u0661", "1" * 30, "1,5M", "10,00", ",1"],
)
def test_what_is_no_whole_number_is_none(text: str) -> None:
    assert parse_size(text) is None


@given(st.integers(0, 10**20 - 1))
def test_plain_numbers_are_themselves(number: int) -> None:
    assert parse_size(str(number)) == number


@given(st.text(max_size=12))
def test_no_text_makes_it_fail(text: str) -> None:
    found = parse_size(text)
    assert found is None or found >= 0
