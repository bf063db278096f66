from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.time_histogram import EARLIER, ROUND_WIDTHS_NS, TimeHistogram

TIMES = st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=20)


@given(TIMES, st.integers(2, 100))
def test_round_widths_leave_nothing_out_and_are_as_short_as_can_be(
    times: list[int], most: int
) -> None:
    histogram = TimeHistogram(np.array(times, np.uint64), None, most)
    width = histogram.width_ns
    assert histogram.count <= most
    assert [histogram.start_ns + bucket * width for bucket in histogram.buckets.tolist()] == [
        time - time % width for time in times
    ]
    shorter = ROUND_WIDTHS_NS[ROUND_WIDTHS_NS.index(width) - 1]
    if shorter < width:
        assert max(times) // shorter - min(times) // shorter >= most


def test_given_width_keeps_the_last_buckets() -> None:
    histogram = TimeHistogram(np.array([5, 19, 20, 31, 44], np.uint64), 10, 3)
    assert (histogram.start_ns, histogram.count) == (20, 3)
    assert histogram.buckets.tolist() == [EARLIER, EARLIER, 0, 1, 2]


def test_no_times_make_no_buckets() -> None:
    assert TimeHistogram(np.zeros(0, np.uint64), None, 2).count == 0


@pytest.mark.parametrize("width", ROUND_WIDTHS_NS)
def test_widths_grow(width: int) -> None:
    place = ROUND_WIDTHS_NS.index(width)
    assert ROUND_WIDTHS_NS[:place] == tuple(one for one in ROUND_WIDTHS_NS if one < width)
