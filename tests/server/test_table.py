from __future__ import annotations

import numpy as np

from palomar_server.table import FLOW, ICMP_QUOTE, REPEATING_OFFSET, by_time, joined, opaque, take
from palomar_server.testing import flow_rows


def test_rows_can_be_moved_as_words() -> None:
    assert FLOW.itemsize == 240
    assert FLOW.itemsize % 8 == 0


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
        "message",
        "reserved",
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


def test_by_time_keeps_the_order_of_equal_times_and_copies_only_what_moves() -> None:
    rows = flow_rows(4, time_ns=[2, 1, 2, 1], source_port=[1, 2, 3, 4])
    assert by_time(rows)["source_port"].tolist() == [2, 4, 1, 3]
    ordered = flow_rows(3, time_ns=[1, 1, 2])
    assert by_time(ordered) is ordered


def test_quote_of_an_icmp_error_lies_over_columns_that_icmp_does_not_have() -> None:
    assert ICMP_QUOTE.itemsize == FLOW.itemsize
    rows = flow_rows(icmp_type=3, icmp_code=4)
    quotes = rows.view(ICMP_QUOTE)
    for name in ICMP_QUOTE.names or ():
        if name.startswith("quoted"):
            quotes[name] = np.iinfo(quotes[name].dtype).max
    changed = {name for name in FLOW.names or () if (rows[name] != flow_rows()[name]).any()}
    of_others = {"socket_cookie", "cgroup_id", "igmp_group", "vrrp_vrid"}
    assert changed == {"icmp_type", "icmp_code"} | of_others


def test_rows_are_joined_as_they_are() -> None:
    first, second = flow_rows(2, source_port=[1, 2]), flow_rows(1, source_port=3)
    rows = joined(first, second)
    assert rows.dtype == FLOW
    assert rows.tobytes() == first.tobytes() + second.tobytes()
    assert joined(first) is first
