from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server import cursor
from palomar_server.errors import InvalidRequest, Stopping
from palomar_server.filters.compiled import CompiledFilter
from palomar_server.followers import Followers
from palomar_server.reading import Portion, Reading, Wanted
from palomar_server.selection import FlowSelection, KindSelection
from palomar_server.table import Kind
from palomar_server.testing import Core, FakeClock, event_row, flow_rows, lost_message
from palomar_server.waker import Waker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from palomar_server.selection import Selection

NS = 1_000_000_000
DROPPED = flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED])
LAPPED = flow_pb2.LostEvent(source=flow_pb2.HUBBLE_RING_BUFFER, num_events_lost=1)


@dataclass(frozen=True)
class Event:
    """One event of a ring, as the model sees it."""

    kind: Kind
    second: int
    dropped: bool = False
    lapped: bool = False
    """Of loss notices: whether it is one of a reader that was lapped."""

    @property
    def message(self) -> bytes:
        if self.kind == Kind.LOST:
            return LAPPED.SerializeToString() if self.lapped else lost_message()
        return b"x"


def passes(event: Event, *, dropped_only: bool) -> bool:
    return not dropped_only or (event.kind == Kind.FLOW and event.dropped)


def start_of(events: list[Event], wanted: Wanted, *, dropped_only: bool) -> int:
    """Where Hubble's reader starts: one step back after the other."""
    if wanted.first and wanted.since_ns is None:
        return 0
    if wanted.follow and not wanted.number and wanted.since_ns is None:
        return max(0, len(events) - 1)
    found = 0
    for index in reversed(range(len(events))):
        event = events[index]
        if event.kind == Kind.LOST:
            if event.lapped:
                return index + 1
            continue
        if not passes(event, dropped_only=dropped_only):
            continue
        found += 1
        if wanted.since_ns is not None:
            if event.second * NS < wanted.since_ns:
                return index + 1
        elif found == wanted.number:
            return index
    return 0


def expected(
    start: int, events: list[Event], wanted: Wanted, kind: Kind, *, dropped_only: bool
) -> tuple[list[int], bool]:
    """What Hubble sends from there on, and whether `until` or `number` ended the stream."""
    sent: list[int] = []
    counted = 0
    for index in range(start, len(events)):
        event = events[index]
        if not wanted.follow and wanted.number and counted == wanted.number:
            return sent, True
        if event.kind != Kind.LOST:
            if wanted.until_ns is not None and event.second * NS > wanted.until_ns:
                return sent, True
            if wanted.since_ns is not None and event.second * NS < wanted.since_ns:
                continue
            if event.kind != kind or not passes(event, dropped_only=dropped_only):
                continue
            counted += 1
        elif kind != Kind.FLOW:
            continue
        sent.append(index)
    return sent, False


class Node:
    """A ring that the test writes, and readings of it."""

    def __init__(self, capacity: int = 15) -> None:
        self.core = Core(capacity=capacity)
        self.ring = self.core.ring
        self.clock = FakeClock(0)
        self.waker = Waker(asyncio.get_running_loop())
        self.followers = Followers(self.ring, self.core.encoder, self.waker)

    def write(self, *events: Event) -> None:
        for event in events:
            if event.kind == Kind.FLOW:
                verdict = flow_pb2.DROPPED if event.dropped else flow_pb2.FORWARDED
                self.ring.append(flow_rows(1, time_ns=event.second * NS, verdict=verdict))
            else:
                self.ring.append(event_row(event.kind, event.second * NS), [event.message])
        self.waker.notify()

    def write_flows(self, count: int) -> None:
        self.ring.append(flow_rows(count, time_ns=(self.ring.next + np.arange(count)) * NS))
        self.waker.notify()

    def selection(self, kind: Kind = Kind.FLOW, *, dropped_only: bool = False) -> Selection:
        if kind != Kind.FLOW:
            return KindSelection(kind)
        allowed = [DROPPED] if dropped_only else []
        return FlowSelection(CompiledFilter(allowed, [], self.core.surroundings, self.core.encoder))

    @asynccontextmanager
    async def reading(
        self, *, kind: Kind = Kind.FLOW, dropped_only: bool = False, **wanted: Any
    ) -> AsyncIterator[Reading]:
        reading = Reading(
            self.ring,
            self.selection(kind, dropped_only=dropped_only),
            Wanted(**wanted),
            self.core.encoder,
            self.followers,
            group=(kind, dropped_only),
            clock_ns=self.clock,
        )
        try:
            async with asyncio.timeout(20):
                yield reading
        finally:
            reading.close()


def drained(reading: Reading) -> Iterator[Portion]:
    """All portions that are there without waiting."""
    while not reading.done:
        portion = reading.read()
        if portion is not None:
            yield portion
        elif reading.caught_up:
            return


EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from([Kind.FLOW, Kind.FLOW, Kind.FLOW, Kind.LOST, Kind.AGENT, Kind.DEBUG]),
        st.integers(0, 12),
        st.booleans(),
        st.sampled_from([False, False, True]),
    ),
    max_size=40,
)
SECONDS = st.none() | st.integers(-1, 13).map(
    lambda second: max(0, second * NS + NS // 2 * (second % 2))
)
WANTED = st.builds(
    Wanted,
    st.sampled_from([0, 1, 2, 3, 5, 8, 100, 2**64 - 1]),
    st.booleans(),
    st.booleans(),
    SECONDS,
    SECONDS,
)


@settings(max_examples=300)
@given(
    EVENTS,
    EVENTS,
    WANTED,
    st.sampled_from([3, 7, 15, 63]),
    st.sampled_from([Kind.FLOW, Kind.FLOW, Kind.AGENT, Kind.DEBUG]),
    st.booleans(),
    st.sampled_from([2, 512]),
)
def test_a_reading_is_what_hubbles_reader_gives(
    events: list[Event],
    later: list[Event],
    wanted: Wanted,
    capacity: int,
    kind: Kind,
    dropped_only: bool,  # noqa: FBT001 - hypothesis calls by name
    take_rows: int,
) -> None:
    dropped_only = dropped_only and kind == Kind.FLOW
    if wanted.first and wanted.follow:
        wanted = replace(wanted, first=False)

    async def run() -> None:
        node = Node(capacity)
        node.write(*events)
        kept = events[-capacity:]
        start = start_of(kept, wanted, dropped_only=dropped_only)
        async with node.reading(
            kind=kind,
            dropped_only=dropped_only,
            number=wanted.number,
            first=wanted.first,
            follow=wanted.follow,
            since_ns=wanted.since_ns,
            until_ns=wanted.until_ns,
        ) as reading:
            portions = list(drained(reading))
            if wanted.follow and not reading.done:
                kept = [*kept, *later[:capacity]]
                node.write(*later[:capacity])
                portions += drained(reading)
            sent, ended = expected(start, kept, wanted, kind, dropped_only=dropped_only)
            first = len(events) - min(len(events), capacity)
            assert [one - first for p in portions for one in p.sequences] == sent
            assert reading.done == (ended or not wanted.follow)
            assert [p.complete for p in portions[:-1]] == [False] * len(portions[:-1])
            assert all(one.lost.events == 0 for one in portions)

    before = cursor.TAKE_ROWS_MAX
    cursor.TAKE_ROWS_MAX = take_rows
    try:
        asyncio.run(run())
    finally:
        cursor.TAKE_ROWS_MAX = before


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize(
    "stamp",
    [
        Timestamp(seconds=0, nanos=-1),
        Timestamp(seconds=0, nanos=NS),
        Timestamp(seconds=-62_135_596_801),
        Timestamp(seconds=253_402_300_800),
    ],
)
def test_times_that_are_none_are_refused(name: str, stamp: Timestamp) -> None:
    request = observer_pb2.GetAgentEventsRequest()
    getattr(request, name).CopyFrom(stamp)
    with pytest.raises(InvalidRequest, match=f"{name}: .* is no time"):
        Wanted.of(request)


def test_times_the_ring_does_not_know_are_taken_for_the_nearest_it_does() -> None:
    request = observer_pb2.GetFlowsRequest(
        since=Timestamp(seconds=-5), until=Timestamp(seconds=253_402_300_799)
    )
    wanted = Wanted.of(request)
    assert (wanted.since_ns, wanted.until_ns) == (0, 2**64 - 1)


def test_first_with_follow_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"first: .* cannot be specified with follow"):
        Wanted.of(observer_pb2.GetDebugEventsRequest(first=True, follow=True))


async def test_a_reading_goes_on_from_a_position() -> None:
    node = Node(capacity=7)
    node.write_flows(20)
    async with node.reading(position=15) as reading:
        [portion] = [one async for one in reading.portions()]
    assert portion.sequences == [15, 16, 17, 18, 19]
    assert (portion.position, portion.oldest, portion.complete) == (20, 13, True)
    async with node.reading(position=3) as reading:
        [portion] = [one async for one in reading.portions()]
    assert portion.lost.events == 10
    assert portion.sequences == list(range(13, 20))


async def test_a_reading_of_nothing_still_says_that_it_is_complete() -> None:
    async with Node().reading() as reading:
        [portion] = [one async for one in reading.portions()]
    assert (portion.sequences, portion.complete) == ([], True)


async def test_only_what_was_there_at_the_start_is_read() -> None:
    node = Node()
    node.write_flows(3)
    async with node.reading() as reading:
        node.write_flows(3)
        [portion] = [one async for one in reading.portions()]
    assert portion.sequences == [0, 1, 2]


async def test_losses_of_a_follower_are_summed_up_for_an_interval() -> None:
    node = Node(capacity=3)
    node.write_flows(1)
    async with node.reading(follow=True) as reading:
        assert [one.sequences for one in drained(reading)] == [[0]]
        node.write_flows(5)
        assert [(one.lost.events, one.sequences) for one in drained(reading)] == [(2, [3, 4, 5])]
        told = []
        for _ in range(3):
            node.clock.advance(0.3)
            node.write_flows(4)
            told += [(one.lost.events, len(one.sequences)) for one in drained(reading)]
        assert told == [(0, 3)] * 3
        node.clock.advance(0.2)
        [portion] = drained(reading)
        assert (portion.lost.events, portion.sequences) == (3, [])
        assert (portion.lost.first_ns, portion.lost.last_ns) == (3 * NS // 10, 9 * NS // 10)


async def test_a_follower_waits_until_a_summed_loss_is_due() -> None:
    node = Node(capacity=3)
    async with node.reading(follow=True) as reading:
        reading._tally.interval_ns = 1_000_000
        list(drained(reading))
        reading._tally.add(1, 0)
        reading._tally.take(0)
        node.write_flows(4)
        assert [one.lost.events for one in drained(reading)] == [0]
        node.clock.advance(0.5)
        portion = await anext(reading.portions())
        assert portion.lost.events == 1


async def test_agent_streams_do_not_tell_losses() -> None:
    node = Node(capacity=3)
    async with node.reading(kind=Kind.AGENT, follow=True) as reading:
        node.write_flows(10)
        assert list(drained(reading)) == []


async def test_a_reading_ends_when_the_server_stops() -> None:
    node = Node(capacity=3)
    async with node.reading(follow=True) as reading:
        stream = reading.portions()
        waiting = asyncio.get_running_loop().create_task(anext(stream))
        await asyncio.sleep(0.01)
        node.followers.stop()
        with pytest.raises(Stopping):
            await waiting


async def test_what_was_lost_is_told_before_the_server_stops() -> None:
    node = Node(capacity=3)
    async with node.reading(follow=True) as reading:
        reading._tally.add(1, 0)
        reading._tally.take(0)
        node.write_flows(5)
        stream = reading.portions()
        assert (await anext(stream)).lost.events == 0
        waiting = asyncio.get_running_loop().create_task(anext(stream))
        await asyncio.sleep(0.01)
        node.followers.stop()
        assert (await waiting).lost.events == 2
        with pytest.raises(Stopping):
            await anext(stream)


async def test_what_a_portion_is_made_into_is_made_once() -> None:
    node = Node()
    node.write_flows(4)
    async with node.reading() as reading:
        [portion] = [one async for one in reading.portions()]
    assert portion.once("a", lambda: "made") == "made"
    assert portion.once("a", lambda: "again") == "made"
    some = portion.only(np.array([True, False, True, False]))
    assert (some.sequences, some.position, some.complete) == ([0, 2], 4, True)
    assert some.once("a", lambda: "anew") == "anew"


async def test_a_follower_with_until_ends_when_the_time_has_come() -> None:
    node = Node()
    node.write_flows(3)
    async with node.reading(follow=True, until_ns=5 * NS) as reading:
        assert [one.complete for one in drained(reading)] == [False]
        node.clock.advance(5.3)
        [portion] = drained(reading)
        assert portion.complete


async def test_a_portion_has_no_more_messages_than_a_reader_may_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cursor, "TAKE_MESSAGES_MAX_BYTES", 1_000)
    core = Core(capacity=63)
    core.ring.append(
        flow_rows(50, message=1), [flow_pb2.Flow(Summary="x" * 600).SerializeToString()]
    )
    matching = CompiledFilter((), (), core.surroundings, core.encoder)
    reading = Reading(
        core.ring,
        FlowSelection(matching),
        Wanted(first=True),
        core.encoder,
        Followers(core.ring, core.encoder, Waker(asyncio.get_running_loop())),
        group="all",
    )
    portions = [one async for one in reading.portions()]
    assert sum(len(one.sequences) for one in portions) == 50
    assert max(len(one.messages) for one in portions) == 2
