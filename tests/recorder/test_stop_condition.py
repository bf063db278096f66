from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_recorder.ending import Ending
from palomar_recorder.stop_condition import StopCondition


def lengths(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def test_without_limits_everything_is_admitted() -> None:
    stop = StopCondition()
    assert stop.admit(lengths(1, 2, 3)) == (3, None)
    assert stop.admit(lengths()) == (0, None)


def test_the_packet_that_reaches_the_bytes_is_the_last() -> None:
    stop = StopCondition(bytes=250)
    assert stop.admit(lengths(100, 100)) == (2, None)
    assert stop.admit(lengths(49, 1, 100)) == (2, Ending.BYTES)
    assert stop.admit(lengths(1)) == (0, Ending.BYTES)


def test_a_packet_may_pass_the_bytes() -> None:
    assert StopCondition(bytes=1).admit(lengths(100, 100)) == (1, Ending.BYTES)


def test_packets_are_exact_over_several_batches() -> None:
    stop = StopCondition(packets=5)
    assert stop.admit(lengths(1, 1, 1)) == (3, None)
    assert stop.admit(lengths(1, 1)) == (2, Ending.PACKETS)
    assert stop.admit(lengths(1, 1)) == (0, Ending.PACKETS)


def test_the_first_of_two_limits_wins_and_packets_if_both_are_reached() -> None:
    assert StopCondition(packets=3, bytes=200).admit(lengths(100, 100, 100)) == (2, Ending.BYTES)
    assert StopCondition(packets=2, bytes=200).admit(lengths(100, 100, 100)) == (2, Ending.PACKETS)
    assert StopCondition(packets=2, bytes=300).admit(lengths(100, 100, 100)) == (2, Ending.PACKETS)


def test_negative_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="0 is the least"):
        StopCondition(packets=-1)


@given(
    st.lists(st.lists(st.integers(0, 100), max_size=8), max_size=8),
    st.integers(0, 20),
    st.integers(0, 400),
)
def test_batches_admit_what_one_packet_after_the_other_would(
    batches: list[list[int]], packets: int, limit_bytes: int
) -> None:
    stop = StopCondition(packets, limit_bytes)
    count = total = 0
    expected: Ending | None = None
    for batch in batches:
        wanted = 0
        for length in batch:
            if expected is not None:
                break
            wanted, count, total = wanted + 1, count + 1, total + length
            if packets and count == packets:
                expected = Ending.PACKETS
            elif limit_bytes and total >= limit_bytes:
                expected = Ending.BYTES
        assert stop.admit(np.array(batch, np.int64)) == (wanted, expected)
