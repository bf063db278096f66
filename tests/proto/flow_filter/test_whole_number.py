"""Whole numbers in text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow_filter.whole_number import parse_int64


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 30))
def test_numbers_of_64_bits_are_read(number: int, zeros: int) -> None:
    sign = "-" if number < 0 else ""
    assert parse_int64(f"{sign}{'0' * zeros}{abs(number)}") == number
    assert parse_int64(f"+{abs(number)}") == (abs(number) if number != -(1 << 63) else None)


@pytest.mark.parametrize(
    "text", ["", "+", "-", " 1", "1 ", "1_0", "0x1", "1.0", "٣", str(1 << 63), "9" * 10_000, "--1"]
)
def test_anything_else_is_none(text: str) -> None:
    assert parse_int64(text) is None
