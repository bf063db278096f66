from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.exact_sums import exact_sums

U64_MAX = (1 << 64) - 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, U64_MAX))))
def test_sums_are_those_of_whole_numbers_up_to_the_largest(numbers: list[tuple[int, int]]) -> None:
    groups = np.array([group for group, _ in numbers], np.int64)
    told = exact_sums(groups, np.array([number for _, number in numbers], np.uint64), 4)
    assert told.tolist() == [
        min(U64_MAX, sum(number for group, number in numbers if group == one)) for one in range(4)
    ]
