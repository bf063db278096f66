"""The scalars of encoding/gob: the examples of Go's documentation, limits and cuts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.gob import wire
from palomar_proto.gob.wire import GobError


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (7, "07"),
        (127, "7f"),
        (128, "ff80"),
        (256, "fe0100"),
        (2**64 - 1, "f8" + 16 * "f"),
    ],
)
def test_uint_takes_the_bytes_go_takes(value: int, encoded: str) -> None:
    assert wire.uint_bytes(value).hex() == encoded
    assert wire.read_uint(bytes.fromhex(encoded), 0) == (value, len(encoded) // 2)


@pytest.mark.parametrize(
    ("value", "encoded"), [(-129, "fe0101"), (-1, "01"), (3, "06"), (-65, "ff81")]
)
def test_int_complements_below_zero(value: int, encoded: str) -> None:
    assert wire.int_bytes(value).hex() == encoded
    assert wire.read_int(bytes.fromhex(encoded), 0) == (value, len(encoded) // 2)


def test_float_is_reversed_so_that_its_zeros_can_be_cut() -> None:
    assert wire.float_bytes(17.0).hex() == "fe3140"
    assert wire.read_float(bytes.fromhex("fe3140"), 0) == (17.0, 3)


@given(st.integers(-(2**63), 2**63 - 1))
def test_ints_come_back(value: int) -> None:
    data = wire.int_bytes(value)
    assert wire.read_int(data, 0) == (value, len(data))


@given(st.floats())
def test_floats_come_back(value: float) -> None:
    back, _ = wire.read_float(wire.float_bytes(value), 0)
    assert back == value or (math.isnan(back) and math.isnan(value))


def test_number_of_more_than_eight_bytes_is_refused() -> None:
    with pytest.raises(GobError, match="9 bytes"):
        wire.read_uint(b"\xf7" + bytes(9), 0)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\xfe\x01"])
def test_cut_number_is_refused(data: bytes) -> None:
    with pytest.raises(GobError):
        wire.read_uint(data, 0)


def test_bytes_are_held_against_what_is_there() -> None:
    assert wire.read_bytes(b"\x02ab!", 0) == (b"ab", 3)
    with pytest.raises(GobError, match="3 bytes announced"):
        wire.read_bytes(b"\x03ab", 0)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_what_is_no_uint64_is_refused(value: int) -> None:
    with pytest.raises(GobError):
        wire.uint_bytes(value)


@pytest.mark.parametrize("value", [-(2**63) - 1, 2**63])
def test_what_is_no_int64_is_refused(value: int) -> None:
    with pytest.raises(GobError):
        wire.int_bytes(value)
