from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server import cursor, reading
from palomar_server.errors import Exhausted, InvalidRequest, RequestError, Stopping
from palomar_server.observer import Observer
from palomar_server.protobuf_bytes import field
from palomar_server.ring import Ring
from palomar_server.streams import Streams
from palomar_server.table import Kind
from palomar_server.testing import (
    START_NS,
    Core,
    FakeClock,
    event_row,
    flow_rows,
    lost_message,
    lost_row,
    parse_responses,
)
from palomar_server.waker import Waker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

NS = 1_000_000_000
DROPPED = flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED])
NOTICE = "lost 3"


class Node:
    """An observer on a ring that the test writes; flow N has source port N."""

    def __init__(self, capacity: int = 15, **options: Any) -> None:
        self.core = Core(capacity=capacity)
        self.ring = self.core.ring
        self.clock = FakeClock(START_NS + 3600 * NS)
        self.waker = Waker(asyncio.get_running_loop())
        self.observer = Observer(
            self.ring,
            self.core.encoder,
            self.core.surroundings,
            self.waker,
            clock_ns=self.clock,
            **options,
        )

    def write(self, count: int, **columns: object) -> None:
        """Append flows, one second apart over all calls, and tell the readers."""
        numbers = np.arange(self.ring.next, self.ring.next + count)
        times = START_NS + numbers * NS
        self.ring.append(flow_rows(count, **{"source_port": numbers, "time_ns": times, **columns}))
        self.waker.notify()

    def write_lost(self, events: int = 3) -> None:
        self.ring.append(lost_row(), [lost_message(events)])
        self.waker.notify()

    def write_event(self, kind: Kind, number: int) -> None:
        """Append an agent or debug event, one second after the row before, with a number."""
        event = flow_pb2.AgentEvent(type=flow_pb2.POLICY_UPDATED)
        event.policy_update.revision = number
        debug = flow_pb2.DebugEvent(message=str(number))
        content = (event if kind == Kind.AGENT else debug).SerializeToString()
        self.ring.append(event_row(kind, START_NS + self.ring.next * NS), [content])
        self.waker.notify()

    async def agent_events(self, **request: Any) -> list[int]:
        """The numbers of the agent events that a stream has."""
        stream = self.observer.get_agent_events(observer_pb2.GetAgentEventsRequest(**request))
        return [agent_event_number(one) async for responses in stream for one in responses]

    async def debug_events(self, **request: Any) -> list[int]:
        """The same of debug events."""
        stream = self.observer.get_debug_events(observer_pb2.GetDebugEventsRequest(**request))
        parsed = [
            observer_pb2.GetDebugEventsResponse.FromString(one)
            async for responses in stream
            for one in responses
        ]
        return [int(one.debug_event.message) for one in parsed]

    async def get(self, **request: Any) -> list[str]:
        """Everything a stream has, in short: `flow N`, `lost N` or `ring lost N`."""
        found = self.observer.get_flows(observer_pb2.GetFlowsRequest(**request))
        return [short(one) async for responses in found for one in responses]

    @asynccontextmanager
    async def follow(self, **request: Any) -> AsyncIterator[Follower]:
        stream = self.observer.get_flows(observer_pb2.GetFlowsRequest(follow=True, **request))
        async with aclosing(stream), asyncio.timeout(20):
            yield Follower(stream)


class Follower:
    def __init__(self, stream: AsyncGenerator[list[bytes], None]) -> None:
        self._stream = stream
        self._ready: list[bytes] = []

    async def response(self) -> bytes:
        """The next response, of a list or the next one."""
        if not self._ready:
            self._ready = list(await anext(self._stream))
        return self._ready.pop(0)

    async def next(self, count: int = 1) -> list[str]:
        return [short(await self.response()) for _ in range(count)]

    async def started(self) -> asyncio.Task[list[str]]:
        """Read one response in a task, once the stream waits for it."""
        task = asyncio.get_running_loop().create_task(self.next())
        for _ in range(3):
            await asyncio.sleep(0)
        return task


class Listeners:
    """An audience that counts."""

    def __init__(self) -> None:
        self.listening = 0
        self.came = 0

    def acquire(self) -> None:
        self.listening += 1
        self.came += 1

    def release(self) -> None:
        self.listening -= 1


def agent_event_number(response: bytes) -> int:
    parsed = observer_pb2.GetAgentEventsResponse.FromString(response)
    return parsed.agent_event.policy_update.revision


def short(response: bytes) -> str:
    [parsed] = parse_responses([response])
    if parsed.HasField("flow"):
        return f"flow {parsed.flow.l4.TCP.source_port}"
    by_ring = parsed.lost_events.source == flow_pb2.HUBBLE_RING_BUFFER
    return f"{'ring ' if by_ring else ''}lost {parsed.lost_events.num_events_lost}"


def flows(*numbers: int) -> list[str]:
    return [f"flow {number}" for number in numbers]


def at(second: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(START_NS + int(second * NS))
    return stamp


async def test_first_gives_the_oldest() -> None:
    node = Node(capacity=7)
    node.write(10)
    assert await node.get(first=True, number=2) == flows(3, 4)
    assert await node.get(first=True) == flows(*range(3, 10))
    assert await node.get(first=True, number=100) == flows(*range(3, 10))


async def test_number_alone_gives_the_last_in_order() -> None:
    node = Node()
    node.write(10)
    assert await node.get(number=3) == flows(7, 8, 9)
    assert await node.get(number=2**64 - 1) == flows(*range(10))


async def test_the_newest_flow_is_there_at_once() -> None:
    node = Node()
    node.write(1)
    assert await node.get(number=1) == flows(0)


async def test_no_number_at_all_gives_everything_there_is() -> None:
    node = Node()
    node.write(4)
    assert await node.get() == flows(0, 1, 2, 3)


async def test_an_empty_ring_gives_nothing() -> None:
    node = Node()
    for request in ({}, {"number": 3}, {"first": True, "number": 3}, {"since": at(0)}):
        assert await node.get(**request) == []


async def test_the_last_sparse_matches_are_found() -> None:
    node = Node(capacity=127)
    for number in range(100):
        dropped = number % 30 == 5
        node.write(1, verdict=flow_pb2.DROPPED if dropped else flow_pb2.FORWARDED)
    assert await node.get(number=2, whitelist=[DROPPED]) == flows(65, 95)
    assert await node.get(number=9, whitelist=[DROPPED]) == flows(5, 35, 65, 95)
    assert len(await node.get(blacklist=[DROPPED])) == 96


async def test_since_and_until_are_inclusive() -> None:
    node = Node()
    node.write(10)
    assert await node.get(since=at(7)) == flows(7, 8, 9)
    assert await node.get(since=at(3), until=at(5)) == flows(3, 4, 5)
    assert await node.get(until=at(1)) == flows(0, 1)
    assert await node.get(since=at(3.5), until=at(3.6)) == []


async def test_with_since_number_is_a_cap_from_there() -> None:
    node = Node()
    node.write(10)
    assert await node.get(since=at(3), number=2) == flows(3, 4)
    assert await node.get(since=at(3), number=2, first=True) == flows(3, 4)


async def test_loss_notices_pass_filters_and_times_and_are_not_counted() -> None:
    node = Node()
    for _ in range(3):
        node.write_lost()
        node.write(1)
    assert await node.get(whitelist=[DROPPED]) == [NOTICE] * 3
    assert await node.get(since=at(1), until=at(1)) == [NOTICE, "flow 1", NOTICE]
    assert await node.get(number=2) == ["flow 3", NOTICE, "flow 5"]
    assert await node.get(first=True, number=1) == [NOTICE, "flow 1"]


async def test_nothing_comes_after_the_last_flow_that_was_asked_for() -> None:
    node = Node()
    node.write(2)
    node.write_lost()
    assert await node.get(number=1) == flows(1)
    assert await node.get(first=True, number=1) == flows(0)
    assert await node.get(number=5) == ["flow 0", "flow 1", NOTICE]


async def test_a_follower_without_number_gets_the_newest_and_what_comes() -> None:
    node = Node()
    node.write(3)
    async with node.follow() as follower:
        # As in Hubble, with the newest there is.
        assert await follower.next() == flows(2)
        task = await follower.started()
        assert not task.done()
        node.write(1)
        assert await task == flows(3)
        node.write(2)
        assert await follower.next(2) == flows(4, 5)


async def test_a_follower_of_an_empty_ring_gets_the_first_flow() -> None:
    node = Node()
    async with node.follow() as follower:
        task = await follower.started()
        node.write(1)
        assert await task == flows(0)


async def test_a_follower_with_number_looks_back_and_goes_on() -> None:
    node = Node()
    node.write(5)
    async with node.follow(number=2) as follower:
        assert await follower.next(2) == flows(3, 4)
        node.write(3)
        assert await follower.next(3) == flows(5, 6, 7)


async def test_a_follower_with_since_looks_back_and_goes_on() -> None:
    node = Node()
    node.write(5)
    async with node.follow(since=at(3)) as follower:
        assert await follower.next(2) == flows(3, 4)
        node.write(1)
        assert await follower.next() == flows(5)


async def test_a_follower_is_not_woken_for_what_it_did_not_ask_for() -> None:
    node = Node()
    async with node.follow(whitelist=[DROPPED]) as follower:
        task = await follower.started()
        node.write(3)
        node.write(1, verdict=flow_pb2.DROPPED)
        assert await task == flows(3)


async def test_a_follower_with_until_ends_when_the_time_has_come() -> None:
    node = Node()
    node.clock.now_ns = START_NS + 5 * NS
    async with node.follow(until=at(5.01)) as follower:
        task = await follower.started()
        node.write(7)
        assert [*await task, *await follower.next(5)] == flows(*range(6))
        # What happened before may still come a little later.
        node.clock.advance(0.25)
        with pytest.raises(StopAsyncIteration):
            await follower.next()


async def test_a_follower_of_the_past_ends_after_what_there_is() -> None:
    node = Node()
    node.write(5)
    assert await node.get(follow=True, number=3, until=at(3)) == flows(2, 3)


async def test_first_with_follow_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"first: .* cannot be specified with follow"):
        await Node().get(first=True, follow=True)


async def test_a_lapped_follower_is_told_once_an_interval_and_how_many() -> None:
    node = Node(capacity=7, lost_event_interval_s=0.01)
    async with node.follow() as follower:
        task = await follower.started()
        node.write(10)
        # The notice comes before the flows that are left.
        assert await task == ["ring lost 3"]
        assert await follower.next(7) == flows(*range(3, 10))
        node.write(9)
        assert await follower.next(7) == flows(*range(12, 19))
        node.write(12)
        assert await follower.next(7) == flows(*range(24, 31))
        node.clock.advance(0.02)
        assert await follower.next() == ["ring lost 7"]
        node.write(1)
        assert await follower.next() == flows(31)


async def test_a_notice_tells_when_the_loss_was_noticed() -> None:
    node = Node(capacity=7, lost_event_interval_s=0.01)
    async with node.follow() as follower:
        task = await follower.started()
        node.write(10)
        await task
        await follower.next(7)
        times = []
        for _ in range(2):
            node.clock.advance(0.004)
            times.append(node.clock.now_ns)
            node.write(8)
            await follower.next(7)
        node.clock.advance(0.004)
        [response] = parse_responses([await follower.response()])
        lost = response.lost_events
        assert (lost.source, lost.num_events_lost) == (flow_pb2.HUBBLE_RING_BUFFER, 2)
        assert [lost.first.ToNanoseconds(), lost.last.ToNanoseconds()] == times
        assert response.time.ToNanoseconds() == times[-1]
        assert response.node_name == "default/node"


async def test_a_slow_reader_of_the_past_is_told_of_its_own_loss_only() -> None:
    node = Node(capacity=65_535)
    node.write(65_535, source_port=1)
    stream = node.observer.get_flows(observer_pb2.GetFlowsRequest())
    async with aclosing(stream):
        first = [short(one) for one in await anext(stream)]
        # The first slice is copied; all behind it is overwritten meanwhile, and more.
        node.write(65_535, source_port=2)
        node.write(100, source_port=2)
        found = [short(one) async for responses in stream for one in responses]
    taken = cursor.TAKE_ROWS_MAX
    assert first == ["flow 1"] * taken
    assert found == [f"ring lost {65_535 - taken}"]


async def test_a_loss_within_the_interval_is_told_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cursor, "TAKE_ROWS_MAX", 4)
    monkeypatch.setattr(reading, "FEW_ROWS", 0)
    node = Node(capacity=15)
    node.write(15)
    stream = node.observer.get_flows(observer_pb2.GetFlowsRequest())
    async with aclosing(stream):
        follower = Follower(stream)
        assert await follower.next() == flows(0)
        node.write(6)
        assert await follower.next(4) == [*flows(1, 2, 3), "ring lost 2"]
        assert await follower.next() == flows(6)
        node.write(6)
        assert await follower.next(7) == [*flows(7, 8, 9), "ring lost 2", *flows(12, 13, 14)]
        assert [one async for one in stream] == []


async def test_streams_are_counted_while_they_are_open() -> None:
    node = Node()
    node.write(2)
    async with node.follow(number=1) as follower:
        assert len(node.observer.streams) == 0
        await follower.next()
        assert len(node.observer.streams) == 1
    assert len(node.observer.streams) == 0
    await node.get()
    assert len(node.observer.streams) == 0


async def test_a_cancelled_follower_is_no_longer_counted() -> None:
    node = Node()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(node.get(follow=True))
        while not node.observer.streams:
            await asyncio.sleep(0)
        task.cancel()
    assert len(node.observer.streams) == 0
    assert not node.waker._waiting


async def test_a_follower_is_told_when_the_server_stops() -> None:
    node = Node()
    async with node.follow() as follower:
        waiting = await follower.started()
        node.observer.stop()
        with pytest.raises(Stopping, match="palomard is stopping"):
            await waiting
    assert len(node.observer.streams) == 0


async def test_more_streams_than_allowed_are_refused() -> None:
    node = Node(streams=Streams(streams_max=1))
    node.write(1)
    async with node.follow(number=1) as follower:
        await follower.next()
        with pytest.raises(Exhausted, match="1 streams are open, which is streams_max"):
            await node.get()
    assert await node.get() == flows(0)


@pytest.mark.parametrize(
    ("request_fields", "error", "texts"),
    [
        (
            {"blacklist": [flow_pb2.FlowFilter(source_port=["x"])]},
            InvalidRequest,
            ["source_port", "'x'", "is no port number"],
        ),
        (
            {"field_mask": FieldMask(paths=["uuid", "nothing"])},
            InvalidRequest,
            ["field_mask", "nothing", "has a path that Flow lacks"],
        ),
        ({"first": True, "follow": True}, InvalidRequest, ["first", "cannot be specified with"]),
    ],
)
async def test_a_request_that_is_not_served_fails_before_the_first_response(
    request_fields: dict[str, Any], error: type[RequestError], texts: list[str]
) -> None:
    node = Node()
    node.write(3)
    with pytest.raises(error) as caught:
        await node.get(**request_fields)
    assert all(text in str(caught.value) for text in texts)
    assert len(node.observer.streams) == 0


async def test_a_mask_of_older_clients_that_cannot_be_read_is_refused() -> None:
    number = observer_pb2.GetFlowsRequest.EXPERIMENTAL_FIELD_NUMBER
    request = observer_pb2.GetFlowsRequest.FromString(field(number, field(1, b"\xff")))
    with pytest.raises(InvalidRequest, match=r"experimental.field_mask: .* cannot be read"):
        await anext(Node().observer.get_flows(request))


async def test_a_mask_keeps_time_and_node_of_the_response() -> None:
    node = Node()
    node.write(1)
    request = observer_pb2.GetFlowsRequest(field_mask=FieldMask(paths=["verdict"]))
    [response] = parse_responses([r async for one in node.observer.get_flows(request) for r in one])
    assert response.flow == flow_pb2.Flow(verdict=flow_pb2.FORWARDED)
    assert response.time.ToNanoseconds() == START_NS
    assert response.node_name == "default/node"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"first", "filter", "time", "mask"}, "first"),
        ({"filter", "time", "mask"}, "no port"),
        ({"time", "mask"}, "until"),
        ({"mask"}, "field_mask"),
    ],
)
async def test_of_several_mistakes_the_one_that_hubble_tells_is_told(
    wrong: set[str], told: str
) -> None:
    request = observer_pb2.GetFlowsRequest(follow=True, first="first" in wrong)
    if "filter" in wrong:
        request.blacklist.add(source_port=["no port"])
    if "time" in wrong:
        request.until.nanos = -1
    if "mask" in wrong:
        request.field_mask.paths.append("nope")
    with pytest.raises(InvalidRequest, match=told):
        await anext(Node().observer.get_flows(request))


async def test_an_empty_mask_leaves_room_for_that_of_older_clients() -> None:
    request = observer_pb2.GetFlowsRequest(number=1, field_mask=FieldMask())
    # experimental.field_mask, which is reserved now
    request.experimental.MergeFromString(b"\x0a\x06\x0a\x04uuid")
    node = Node()
    node.write(1)
    (response,) = parse_responses(await anext(node.observer.get_flows(request)))
    assert [field.name for field, _ in response.flow.ListFields()] == ["uuid"]


async def test_a_filter_sees_what_a_mask_hides() -> None:
    node = Node()
    node.write(1)
    node.write(1, verdict=flow_pb2.DROPPED)
    mask = FieldMask(paths=["l4"])
    assert await node.get(field_mask=mask, whitelist=[DROPPED]) == flows(1)


async def mixed_node(**options: Any) -> Node:
    """Agent events 0, 4, 8, debug events 1, 5, 9 and flows between them; all a second apart."""
    node = Node(**options)
    for number in range(12):
        if number % 4 <= 1:
            node.write_event(Kind.AGENT if number % 4 == 0 else Kind.DEBUG, number)
        else:
            node.write(1)
    return node


async def test_each_stream_has_its_own_kind() -> None:
    node = await mixed_node()
    assert await node.agent_events() == [0, 4, 8]
    assert await node.debug_events() == [1, 5, 9]
    assert await node.get() == flows(2, 3, 6, 7, 10, 11)


async def test_a_number_counts_what_the_stream_delivers() -> None:
    node = await mixed_node()
    # As in Hubble, a look back counts events of every kind.
    assert await node.agent_events(number=2) == []
    assert await node.agent_events(number=8) == [4, 8]
    assert await node.agent_events(number=2, first=True) == [0, 4]
    assert await node.debug_events(number=3) == [9]
    assert await node.get(number=3) == flows(10, 11)


async def test_event_streams_have_the_times_of_flows() -> None:
    node = await mixed_node()
    assert await node.agent_events(since=at(4)) == [4, 8]
    assert await node.agent_events(since=at(1), until=at(8)) == [4, 8]
    assert await node.debug_events(since=at(1), number=2) == [1, 5]


async def test_event_streams_do_not_speak_of_losses() -> None:
    node = Node(capacity=7)
    node.write_lost()
    node.write_event(Kind.AGENT, 1)
    assert await node.agent_events() == [1]
    request = observer_pb2.GetAgentEventsRequest(follow=True)
    async with aclosing(node.observer.get_agent_events(request)) as stream:
        task = asyncio.get_running_loop().create_task(anext(stream))
        await asyncio.sleep(0)
        node.write(10)
        node.write_event(Kind.AGENT, 2)
        assert [agent_event_number(one) for one in [*await task, *await anext(stream)]] == [1, 2]


async def test_a_follower_of_agent_events_gets_them_as_they_come() -> None:
    node = await mixed_node()
    request = observer_pb2.GetAgentEventsRequest(follow=True, number=4)
    async with asyncio.timeout(20), aclosing(node.observer.get_agent_events(request)) as stream:
        [newest] = await anext(stream)
        assert agent_event_number(newest) == 8
        task = asyncio.get_running_loop().create_task(anext(stream))
        node.write(3)
        node.write_event(Kind.AGENT, 99)
        [new] = await task
        assert agent_event_number(new) == 99
        node.observer.stop()
        with pytest.raises(Stopping):
            await anext(stream)


async def test_all_streams_share_one_limit() -> None:
    node = await mixed_node(streams=Streams(streams_max=1))
    async with node.follow(number=1) as follower:
        await follower.next()
        with pytest.raises(Exhausted):
            await node.agent_events()


async def test_a_message_that_made_room_is_told_as_lost() -> None:
    node = Node()
    node.ring = Ring(15, messages_max_bytes=300)
    node.observer._ring = node.ring
    rows = flow_rows(3, message=[1, 2, 3], source_port=0)
    flow = flow_pb2.Flow(l4=flow_pb2.Layer4(TCP=flow_pb2.TCP(source_port=7)))
    node.ring.append(rows, [flow.SerializeToString()] * 3)
    assert await node.get() == ["ring lost 1", "flow 7", "flow 7"]


async def test_the_audience_is_told_of_followers_only() -> None:
    listeners = Listeners()
    node = await mixed_node(streams=Streams(audience=listeners))
    await node.get()
    await node.agent_events()
    assert listeners.came == 0
    async with node.follow(number=1) as one, node.follow(number=1) as other:
        await one.next()
        await other.next()
        assert listeners.listening == 2
    assert listeners.listening == 0
    with pytest.raises(InvalidRequest):
        await node.get(first=True, follow=True)
    assert (listeners.listening, listeners.came) == (0, 2)


async def test_status_counts_the_ring_and_what_went_through_it() -> None:
    node = Node(capacity=7)
    node.write_lost()
    node.write(10)
    node.clock.advance(5)
    status = node.observer.server_status(observer_pb2.ServerStatusRequest())
    assert (status.num_flows, status.max_flows, status.seen_flows) == (7, 7, 10)
    assert status.uptime_ns == 5 * NS
    assert status.version.startswith("palomar v")
    assert not status.HasField("num_connected_nodes")


async def test_a_clock_that_was_set_back_leaves_the_uptime_at_zero() -> None:
    node = Node()
    node.clock.advance(-5)
    assert node.observer.server_status(observer_pb2.ServerStatusRequest()).uptime_ns == 0
