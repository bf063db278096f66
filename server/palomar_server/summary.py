"""Summarize: flows, packets and bytes by what flows have in common, and over time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.palomar.v1 import summary_pb2
from palomar_server.exact_sums import exact_sums
from palomar_server.time_histogram import EARLIER, TimeHistogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from palomar_server.flow_property import End, Property
    from palomar_server.ring_scan import Found

_TABLE_MAX = 1 << 19
"""Pairs of numbers that are told apart with a table of so many places; more are sorted, which takes
some times as long."""
_U64_MAX = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class GroupKey:
    """A property to group by, at an end."""

    prop: Property
    end: End


@dataclass(frozen=True, slots=True)
class HistogramOrder:
    """Counts over time that are wanted."""

    width_ns: int | None
    """Of a bucket; None for a round one."""
    buckets_max: int
    by_group: bool


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums by group, or by bucket."""

    flows: NDArray[np.uint64]
    packets: NDArray[np.uint64]
    bytes: NDArray[np.uint64]

    def totals(self, index: int) -> summary_pb2.Totals:
        """Of one."""
        return summary_pb2.Totals(
            flows=int(self.flows[index]),
            packets=int(self.packets[index]),
            bytes=int(self.bytes[index]),
        )

    def total(self) -> summary_pb2.Totals:
        """Of all."""
        flows, packets, size = (
            min(_U64_MAX, sum(column.tolist())) for column in (self.flows, self.packets, self.bytes)
        )
        return summary_pb2.Totals(flows=flows, packets=packets, bytes=size)


class Summary:
    """Sums flows up.

    Args:
        keys: what to group by.
        measure: what makes a group a large one.
        top: how many groups to give.
        histogram: counts over time, if they are wanted.
    """

    def __init__(
        self,
        keys: Sequence[GroupKey],
        measure: int,
        top: int,
        histogram: HistogramOrder | None = None,
    ) -> None:
        self._keys = keys
        self._measure = measure
        self._top = top
        self._order = histogram
        self._columns: list[tuple[NDArray[np.uint64], ...]] = []
        self._codes: list[list[NDArray[np.int64]]] = [[] for _ in keys]

    def add(self, found: Found) -> None:
        """Take in flows."""
        rows = found.rows
        self._columns.append(
            tuple(rows[name].astype(np.uint64) for name in ("time_ns", "packets", "bytes"))
        )
        for key, codes in zip(self._keys, self._codes, strict=True):
            codes.append(key.prop.codes(found, key.end))

    async def response(self) -> summary_pb2.SummarizeResponse:
        """The sums, without the coverage."""
        times, packets, sizes = (
            np.concatenate(column) if column else np.zeros(0, np.uint64)
            for column in (zip(*self._columns, strict=True) if self._columns else ((), (), ()))
        )
        codes = [np.concatenate(one) if one else np.zeros(0, np.int64) for one in self._codes]
        groups, examples = await self._groups(codes, len(times))
        count = len(examples)
        sums = _sums(groups, packets, sizes, count)
        response = summary_pb2.SummarizeResponse(total=sums.total())
        chosen = self._largest(sums, examples)
        for index in chosen:
            values = [
                ", ".join(key.prop.values(int(one[examples[index]])))
                for key, one in zip(self._keys, codes, strict=True)
            ]
            response.groups.add(values=values, totals=sums.totals(index))
        _set_times(response, chosen, groups, times, count)
        rest = np.delete(np.arange(count), chosen)
        other = _Sums(sums.flows[rest], sums.packets[rest], sums.bytes[rest])
        response.other.CopyFrom(other.total())
        response.other_groups = len(rest)
        if self._order is not None:
            await asyncio.sleep(0)
            self._set_histogram(response, self._order, chosen, groups, (times, packets, sizes))
        return response

    async def _groups(
        self, codes: list[NDArray[np.int64]], rows: int
    ) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """A dense number of the group of each row, and of each group its first row."""
        groups = np.zeros(rows, np.int64)
        examples = np.arange(min(1, rows))
        for one in codes:
            await asyncio.sleep(0)
            groups, examples = _combined(groups, one)
        return groups, examples

    def _largest(self, sums: _Sums, examples: NDArray[np.intp]) -> list[int]:
        """The largest groups in order, and of equal ones first that of the older flow."""
        sizes = {
            summary_pb2.MEASURE_FLOWS: sums.flows,
            summary_pb2.MEASURE_PACKETS: sums.packets,
            summary_pb2.MEASURE_BYTES: sums.bytes,
        }[summary_pb2.Measure.ValueType(self._measure)]
        largest: list[int] = np.lexsort((examples, ~sizes))[: self._top].tolist()
        return largest

    def _set_histogram(
        self,
        response: summary_pb2.SummarizeResponse,
        order: HistogramOrder,
        chosen: list[int],
        groups: NDArray[np.int64],
        columns: tuple[NDArray[np.uint64], ...],
    ) -> None:
        times, packets, sizes = columns
        histogram = TimeHistogram(times, order.width_ns, order.buckets_max)
        response.histogram.start.FromNanoseconds(histogram.start_ns)
        response.histogram.width.FromNanoseconds(histogram.width_ns)
        # The place before the first bucket is for what is earlier.
        slots = histogram.buckets - EARLIER
        sums = _sums(slots, packets, sizes, histogram.count + 1)
        response.histogram.earlier.CopyFrom(sums.totals(0))
        response.histogram.buckets.extend(
            sums.totals(slot) for slot in range(1, histogram.count + 1)
        )
        if not order.by_group or not chosen:
            return
        places = np.full(int(groups.max()) + 1, -1, np.int64)
        places[chosen] = np.arange(len(chosen))
        given = (places[groups] >= 0) & (slots > 0)
        cells = places[groups[given]] * histogram.count + slots[given] - 1
        sums = _sums(cells, packets[given], sizes[given], len(chosen) * histogram.count)
        for place, group in enumerate(response.groups):
            begin = place * histogram.count
            group.buckets.extend(sums.totals(begin + one) for one in range(histogram.count))


def _combined(
    groups: NDArray[np.int64], codes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Dense numbers of the distinct pairs, and of each pair its first row."""
    rows = len(groups)
    width = int(codes.max()) + 1 if rows else 1
    # Both are below 2^32: there are not as many rows.
    keys = groups * width + codes
    size = (int(groups.max()) + 1) * width if rows else 0
    if size > _TABLE_MAX:
        _, examples, numbers = np.unique(keys, return_index=True, return_inverse=True)
        return numbers, examples
    first = np.full(size, rows, np.intp)
    # Backwards: of rows with the same key the first is written last, and stays.
    first[keys[::-1]] = np.arange(rows)[::-1]
    present = np.flatnonzero(first < rows)
    numbers = np.zeros(size, np.int64)
    numbers[present] = np.arange(len(present))
    return numbers[keys], first[present]


def _sums(
    groups: NDArray[np.int64], packets: NDArray[np.uint64], sizes: NDArray[np.uint64], count: int
) -> _Sums:
    return _Sums(
        np.bincount(groups, minlength=count).astype(np.uint64),
        exact_sums(groups, packets, count),
        exact_sums(groups, sizes, count),
    )


def _set_times(
    response: summary_pb2.SummarizeResponse,
    chosen: list[int],
    groups: NDArray[np.int64],
    times: NDArray[np.uint64],
    count: int,
) -> None:
    first = np.full(count, _U64_MAX, np.uint64)
    last = np.zeros(count, np.uint64)
    np.minimum.at(first, groups, times)
    np.maximum.at(last, groups, times)
    for group, index in zip(response.groups, chosen, strict=True):
        group.first.FromNanoseconds(int(first[index]))
        group.last.FromNanoseconds(int(last[index]))
