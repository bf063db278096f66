from __future__ import annotations

import numpy as np

from palomar_server.table import FLOW, REPEATING_OFFSET, opaque, take
from palomar_server.testing import flow_rows


def test_a_row_is_two_cache_lines() -> None:
    assert FLOW.itemsize == 128


def test_columns_are_aligned_and_leave_no_hole() -> None:
    assert FLOW.fields is not None
    assert FLOW.names is not None
    end = 0
    for dtype, offset, *_ in (FLOW.fields[name] for name in FLOW.names):
        assert offset == end
        assert offset % dtype.base.itemsize == 0
        end = offset + dtype.itemsize
    assert end == FLOW.itemsize


def test_what_varies_within_a_connection_stands_before_what_repeats() -> None:
    assert FLOW.fields is not None
    names = FLOW.names or ()
    assert names[: names.index("source_hi")] == (
        "time_ns",
        "bytes",
        "packets",
        "length_bytes",
        "tgid",
        "netns",
    )
    assert FLOW.fields["source_hi"][1] == REPEATING_OFFSET


def test_opaque_rows_share_memory() -> None:
    rows = flow_rows(2)
    opaque(rows)[0] = opaque(rows)[1]
    assert rows[0] == rows[1]


def test_take_copies_by_index_and_by_mask() -> None:
    rows = flow_rows(4, source_port=[1, 2, 3, 4])
    by_index = take(rows, np.array([3, 0]))
    by_mask = take(rows, np.array([False, True, True, False]))
    rows["source_port"] = 0
    assert by_index["source_port"].tolist() == [4, 1]
    assert by_mask["source_port"].tolist() == [2, 3]
    assert by_index.dtype == FLOW
