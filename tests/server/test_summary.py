from __future__ import annotations

import asyncio

import numpy as np

from palomar_proto.palomar.v1 import summary_pb2
from palomar_server.flow_property import NumberProperty
from palomar_server.ring_scan import Found
from palomar_server.summary import GroupKey, HistogramOrder, Summary
from palomar_server.testing import flow_rows


def ports() -> GroupKey:
    return GroupKey(
        NumberProperty(
            lambda rows, end: (rows[f"{end}_port"].astype(np.uint64), rows["flags"] != 0)
        ),
        "source",
    )


def summary_of(
    numbers: list[int], *, keys: int = 1, top: int = 10, histogram: HistogramOrder | None = None
) -> summary_pb2.SummarizeResponse:
    summary = Summary([ports()] * keys, summary_pb2.MEASURE_BYTES, top, histogram)
    # As the steps of a look at the ring would.
    for half in (numbers[:2], numbers[2:]):
        rows = flow_rows(len(half), source_port=half, bytes=half, time_ns=np.array(half) * 10)
        summary.add(Found(rows, np.arange(len(half))))
    return asyncio.run(summary.response())


def test_equal_groups_come_in_the_order_of_their_first_flow() -> None:
    told = summary_of([0, 7, 7, 0, 14])
    assert [list(group.values) for group in told.groups] == [["7"], ["14"], ["0"]]


def test_groups_that_are_not_given_are_summed_up() -> None:
    told = summary_of([1, 2, 3, 4], top=1)
    assert [group.totals.bytes for group in told.groups] == [4]
    assert (told.other_groups, told.other.flows, told.other.bytes) == (3, 3, 6)
    assert told.total.bytes == 10


def test_group_tells_its_first_and_last_flow() -> None:
    told = summary_of([1, 2, 1], keys=0)
    assert told.groups[0].first.ToNanoseconds() == 10
    assert told.groups[0].last.ToNanoseconds() == 20


def test_many_groups_of_many_keys_are_told_apart() -> None:
    numbers = list(range(3_000))
    told = summary_of(numbers, keys=3, top=1_000)
    assert told.groups[0].values == ["2999"] * 3
    assert told.other_groups == 2_000


def test_buckets_of_groups_are_those_of_the_whole() -> None:
    told = summary_of([1, 2, 5, 5], histogram=HistogramOrder(10, 3, by_group=True))
    assert [bucket.flows for bucket in told.histogram.buckets] == [0, 0, 2]
    assert told.histogram.earlier.flows == 2
    assert [[bucket.flows for bucket in group.buckets] for group in told.groups] == [
        [0, 0, 2],
        [0, 0, 0],
        [0, 0, 0],
    ]
