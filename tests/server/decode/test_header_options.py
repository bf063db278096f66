from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.decode.gather import Scratch
from palomar_server.decode.header_options import broken_options


def broken(*options: bytes, shortest: int = 2) -> list[bool]:
    lengths = np.array([len(one) for one in options], np.int64)
    buffer = Scratch().padded(np.frombuffer(b"".join(options), np.uint8))
    ends = lengths.cumsum()
    return [bool(one) for one in broken_options(buffer, ends - lengths, ends, shortest)]


def is_broken(options: bytes, shortest: int) -> bool:
    """The rule for one header, step by step."""
    while options and options[0]:
        if options[0] == 1:
            options = options[1:]
            continue
        if len(options) < 2 or options[1] < shortest or options[1] > len(options):
            return True
        options = options[options[1] :]
    return False


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (b"", False),
        (b"\0\xff\xff\xff", False),
        (b"\1\1\1\1", False),
        (b"\1\1\1\0", False),
        (b"\2\4ab\1\1\4\2", False),
        (b"\2\4ab", False),
        (b"\1\1\1\2", True),
        (b"\2\1\1\1", True),
        (b"\2\0\0\0", True),
        (b"\2\5ab", True),
        (b"\2\3a\7", True),
        (b"\1" * 40, False),
        (b"\1" * 39 + b"\2", True),
    ],
)
def test_options_end_with_their_header(options: bytes, *, expected: bool) -> None:
    # Bytes of the next header are not these options'.
    assert broken(options, b"\4\4\4\4") == [expected, False]


def test_the_shortest_option_depends_on_the_protocol() -> None:
    assert broken(b"\2\2\1\1", shortest=2) == [False]
    assert broken(b"\2\2\1\1", shortest=3) == [True]


HEADERS = st.lists(st.lists(st.integers(0, 12), max_size=40).map(bytes), max_size=6)


@given(HEADERS, st.sampled_from([2, 3]))
def test_many_headers_are_walked_as_each_alone(headers: list[bytes], shortest: int) -> None:
    expected = [is_broken(header, shortest) for header in headers]
    assert broken(*headers, shortest=shortest) == expected
