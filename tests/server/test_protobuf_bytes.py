from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.protobuf_bytes import field, seconds_and_nanos, timestamp, varint


@given(st.integers(0, (1 << 64) - 1))
def test_times_are_protobuf_timestamps(time_ns: int) -> None:
    content = timestamp(time_ns)
    expected = Timestamp()
    expected.FromNanoseconds(time_ns)
    assert content[0] == len(content) - 1
    assert Timestamp.FromString(content[1:]) == expected


@pytest.mark.parametrize(
    ("number", "content"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")]
)
def test_numbers_are_base_128(number: int, content: bytes) -> None:
    assert varint(number) == content


def test_a_field_has_its_length_in_front() -> None:
    assert field(1, b"abc") == b"\x0a\x03abc"
    assert field(1001, b"") == b"\xca\x3e\x00"


@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1))
def test_times_of_many_rows_are_of_one_length_and_right(times_ns: list[int]) -> None:
    seconds, nanos = seconds_and_nanos(np.array(times_ns, np.uint64))
    for time_ns, row in zip(times_ns, np.hstack((seconds, nanos)), strict=True):
        expected = Timestamp()
        expected.FromNanoseconds(time_ns)
        assert Timestamp.FromString(row.tobytes()) == expected
