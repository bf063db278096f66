from __future__ import annotations

import asyncio
import struct
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_proto.palomar.v1.flow_batches_pb2 import BatchOptions, FlowBatch
from palomar_server import cursor
from palomar_server.errors import Exhausted, InvalidRequest, RequestError, Stopping
from palomar_server.flow_batches import BatchLimits, FlowBatches
from palomar_server.observer import Observer
from palomar_server.resume_token import ResumeToken
from palomar_server.streams import Streams
from palomar_server.testing import (
    START_NS,
    Core,
    FakeClock,
    flow_rows,
    lost_message,
    lost_row,
)
from palomar_server.waker import Waker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

NS = 1_000_000_000
DROPPED = flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED])
ALL = 2**64 - 1
RING, PERF = flow_pb2.HUBBLE_RING_BUFFER, flow_pb2.PERF_EVENT_RING_BUFFER


class Node:
    """The service on a ring that the test writes; flow N has source port N."""

    def __init__(
        self,
        capacity: int = 15,
        *,
        run_id: int = 1,
        node_name: str = "default/node",
        limits: BatchLimits | None = None,
        streams: Streams | None = None,
    ) -> None:
        core = Core(capacity=capacity)
        core.encoder.run_id = run_id
        self.ring = core.ring
        self.hooks = core.hooks
        self.waker = Waker(asyncio.get_running_loop())
        self.observer = Observer(
            core.ring,
            core.encoder,
            core.surroundings,
            self.waker,
            hooks=core.hooks,
            streams=streams,
            clock_ns=FakeClock(START_NS + 3600 * NS),
        )
        self.service = FlowBatches(
            self.observer, core.ring, core.encoder, self.waker, node_name=node_name, limits=limits
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

    def batches(
        self, token: bytes = b"", *, options: BatchOptions | None = None, **request: Any
    ) -> AsyncGenerator[list[bytes], None]:
        message = observer_pb2.GetFlowsRequest(**request)
        options = options or BatchOptions()
        options.resume_token = token
        if options.ByteSize():
            message.extensions.Pack(options)
        return self.service.get_flow_batches(message)

    async def get(self, token: bytes = b"", **request: Any) -> list[FlowBatch]:
        found: list[FlowBatch] = []
        async with asyncio.timeout(20):
            async for lists in self.batches(token, **request):
                found += map(FlowBatch.FromString, lists)
        return found

    @asynccontextmanager
    async def follow(self, token: bytes = b"", **request: Any) -> AsyncIterator[Follower]:
        async with (
            aclosing(self.batches(token, follow=True, **request)) as stream,
            asyncio.timeout(20),
        ):
            yield Follower(stream)


class Follower:
    def __init__(self, stream: AsyncGenerator[list[bytes], None]) -> None:
        self._stream = stream

    async def next(self) -> FlowBatch:
        (batch,) = await anext(self._stream)
        return FlowBatch.FromString(batch)


def ports(*batches: FlowBatch) -> list[int]:
    """The numbers of the flows in batches."""
    return [
        response.flow.l4.TCP.source_port
        for batch in batches
        for response in batch.responses
        if response.HasField("flow")
    ]


def lost(*batches: FlowBatch) -> list[tuple[int, int]]:
    """Source and number of all losses told."""
    losses = [one for batch in batches for one in batch.completeness.losses]
    return [(one.source, one.num_events_lost) for one in losses]


async def test_a_batch_has_flows_with_their_positions_and_says_where_it_stands() -> None:
    node = Node()
    node.write(3)
    node.write(2, verdict=flow_pb2.DROPPED)
    (batch,) = await node.get(whitelist=[DROPPED])
    assert ports(batch) == [3, 4]
    assert list(batch.sequences) == [3, 4]
    assert (batch.run_id, batch.node_name) == (1, "default/node")
    assert batch.completeness.next_sequence == 5
    assert batch.completeness.oldest_sequence == 0
    assert batch.completeness.end_reached
    assert not batch.completeness.losses
    assert batch.responses[0].node_name == "default/node"


async def test_without_flows_one_batch_tells_so() -> None:
    node = Node()
    node.write(3)
    (batch,) = await node.get(whitelist=[DROPPED])
    assert not batch.responses
    assert batch.completeness.end_reached
    assert batch.completeness.next_sequence == 3
    assert batch.resume_token


async def test_an_empty_ring_has_its_end_told() -> None:
    (batch,) = await Node().get()
    assert batch.completeness.end_reached


async def test_limits_of_the_request_cut_batches() -> None:
    node = Node()
    node.write(10)
    found = await node.get(options=BatchOptions(responses_max=4))
    assert [ports(batch) for batch in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [batch.completeness.end_reached for batch in found] == [False, False, True]
    assert [batch.completeness.next_sequence for batch in found] == [4, 8, 10]
    response = found[0].responses[0].ByteSize()
    found = await node.get(options=BatchOptions(bytes_max=7 * response // 2))
    assert [len(batch.responses) for batch in found] == [3, 3, 3, 1]
    found = await node.get(options=BatchOptions(bytes_max=1))
    assert [len(batch.responses) for batch in found] == [1] * 10


async def test_limits_of_the_server_bound_those_of_the_request() -> None:
    node = Node(limits=BatchLimits(responses_max=4))
    node.write(10)
    for options in (BatchOptions(), BatchOptions(responses_max=4_000_000_000)):
        assert [len(one.responses) for one in await node.get(options=options)] == [4, 4, 2]


async def test_a_resumed_stream_goes_on_behind_each_batch() -> None:
    node = Node()
    node.write(10)
    found = await node.get(options=BatchOptions(responses_max=3))
    for index, batch in enumerate(found):
        rest = await node.get(batch.resume_token)
        assert ports(*rest) == ports(*found[index + 1 :])
        assert not lost(*rest)


async def test_a_resumed_stream_goes_on_within_a_batch() -> None:
    node = Node()
    node.write(4)
    node.write(6)
    _, second, _ = await node.get(options=BatchOptions(responses_max=4))
    token = second.resume_token + struct.pack(">QQ", second.sequences[1], 2)
    assert ports(*await node.get(token)) == [6, 7, 8, 9]


async def test_a_count_goes_on_where_it_was() -> None:
    node = Node()
    node.write(10)
    found = await node.get(number=6, options=BatchOptions(responses_max=2))
    assert ports(*found) == [4, 5, 6, 7, 8, 9]
    node.write(4)
    assert ports(*await node.get(found[0].resume_token, number=6)) == [6, 7, 8, 9]
    token = found[1].resume_token + struct.pack(">QQ", 6, 1)
    assert ports(*await node.get(token)) == [7, 8, 9]
    (end,) = await node.get(found[-1].resume_token, number=6)
    assert not end.responses
    assert end.completeness.end_reached
    # The end of a count is still a place to follow from.
    async with node.follow(end.resume_token) as follower:
        assert ports(await follower.next()) == [10, 11, 12, 13]


async def test_the_oldest_so_many_go_on_too() -> None:
    node = Node()
    node.write(10)
    found = await node.get(number=4, first=True, options=BatchOptions(responses_max=3))
    assert [ports(one) for one in found] == [[0, 1, 2], [3]]
    assert ports(*await node.get(found[0].resume_token, number=4, first=True)) == [3]


async def test_since_goes_on_and_until_may_change() -> None:
    node = Node()
    node.write(10)
    since, until = Timestamp(), Timestamp()
    since.FromNanoseconds(START_NS + 2 * NS)
    until.FromNanoseconds(START_NS + 8 * NS)
    found = await node.get(since=since, options=BatchOptions(responses_max=2))
    assert ports(found[0]) == [2, 3]
    # One that comes late has a time of before.
    node.write(1, time_ns=START_NS)
    rest = await node.get(found[0].resume_token)
    assert ports(*rest) == [4, 5, 6, 7, 8, 9]
    assert ports(*await node.get(found[0].resume_token, until=until)) == [4, 5, 6, 7, 8]


async def test_what_was_overwritten_before_a_resume_is_told_exactly() -> None:
    node = Node()
    node.write(10)
    first = (await node.get(options=BatchOptions(responses_max=3)))[0]
    node.write(20)
    (batch,) = await node.get(first.resume_token)
    assert lost(batch) == [(RING, 12)]
    assert ports(batch) == list(range(15, 30))
    assert batch.completeness.oldest_sequence == 15
    assert not batch.completeness.restarted


async def test_a_token_of_an_earlier_run_starts_at_the_oldest_and_says_so() -> None:
    before, node = Node(run_id=1), Node(run_id=2)
    before.write(10)
    node.write(5)
    token = (await before.get())[-1].resume_token
    found = await node.get(token, options=BatchOptions(responses_max=3))
    assert ports(*found) == [0, 1, 2, 3, 4]
    assert [one.completeness.restarted for one in found] == [True, False]
    assert not lost(*found)
    assert {one.run_id for one in found} == {2}


async def test_a_restart_is_told_a_follower_before_anything_happens() -> None:
    before, node = Node(run_id=1), Node(run_id=2)
    token = (await before.get())[-1].resume_token
    async with node.follow(token) as follower:
        batch = await follower.next()
        assert batch.completeness.restarted
        node.write(1)
        batch = await follower.next()
        assert ports(batch) == [0]
        assert not batch.completeness.restarted


async def test_a_finished_count_of_an_earlier_run_stays_finished() -> None:
    before, node = Node(run_id=1), Node(run_id=2)
    before.write(9)
    node.write(2)
    token = (await before.get(number=1))[-1].resume_token
    (end,) = await node.get(token)
    assert end.completeness.restarted
    assert not end.responses
    assert not (await node.get(end.resume_token))[0].responses


async def test_a_token_holds_for_its_filters_only() -> None:
    node = Node()
    (batch,) = await node.get(whitelist=[DROPPED])
    await node.get(batch.resume_token, whitelist=[DROPPED])
    for request in ({}, {"blacklist": [DROPPED]}, {"whitelist": [DROPPED, DROPPED]}):
        with pytest.raises(InvalidRequest, match="other filters"):
            await node.get(batch.resume_token, **request)


async def test_a_token_of_another_node_is_refused() -> None:
    (batch,) = await Node(node_name="default/a").get()
    with pytest.raises(InvalidRequest, match="another node"):
        await Node(node_name="default/b").get(batch.resume_token)


async def test_a_position_ahead_is_refused() -> None:
    node = Node()
    node.write(3)
    (batch,) = await node.get()
    token = ResumeToken.from_bytes(batch.resume_token)
    await node.get(token.to_bytes())
    for sequence in (4, 1 << 40, (1 << 64) - 1):
        with pytest.raises(InvalidRequest, match="newest event so far is 2"):
            await node.get(replace(token, sequence=sequence).to_bytes())
    with pytest.raises(InvalidRequest, match="goes on at 3"):
        await node.get(batch.resume_token + struct.pack(">QQ", (1 << 64) - 1, 0))


@given(st.binary(min_size=1, max_size=120))
def test_hostile_tokens_are_refused(token: bytes) -> None:
    async def ask() -> None:
        with pytest.raises(InvalidRequest):
            await Node().get(token)

    asyncio.run(ask())


async def test_hostile_extensions_are_refused() -> None:
    node = Node()
    other = AnyMessage()
    other.Pack(DROPPED)
    torn = AnyMessage(type_url="type.googleapis.com/palomar.v1.BatchOptions", value=b"\x0a\xff")
    for extension in (other, torn, AnyMessage()):
        with pytest.raises(InvalidRequest, match="extensions"):
            await node.get(extensions=extension)
    negative = BatchOptions(delay_max=Duration(seconds=-1))
    with pytest.raises(InvalidRequest, match="delay_max"):
        await node.get(options=negative)


async def test_losses_are_summed_up_by_source() -> None:
    node = Node()
    node.write(2)
    node.write_lost(3)
    node.write(1)
    node.write_lost(4)
    (batch,) = await node.get()
    assert lost(batch) == [(PERF, 7)]
    (loss,) = batch.completeness.losses
    assert loss.first.ToNanoseconds() == loss.last.ToNanoseconds() == START_NS
    assert [one.lost_events.num_events_lost for one in batch.responses] == [0, 0, 3, 0, 4]
    assert list(batch.sequences) == [0, 1, 2, 3, 4]


async def test_a_follower_is_told_at_once_that_it_is_up_to_date() -> None:
    node = Node()
    node.write(5)
    async with node.follow(whitelist=[DROPPED]) as follower:
        batch = await follower.next()
        assert not batch.responses
        assert batch.completeness.end_reached
        assert batch.completeness.next_sequence == 5
        node.write(1, verdict=flow_pb2.DROPPED)
        assert ports(await follower.next()) == [5]


async def test_a_follower_looks_back_first() -> None:
    node = Node()
    node.write(5)
    async with node.follow(number=2) as follower:
        assert ports(await follower.next()) == [3, 4]
        node.write(2)
        batch = await follower.next()
        assert ports(batch) == [5, 6]
        assert batch.completeness.end_reached


async def test_events_that_do_not_match_are_no_losses() -> None:
    node = Node()
    async with node.follow(whitelist=[DROPPED]) as follower:
        await follower.next()
        task = asyncio.get_running_loop().create_task(follower.next())
        for _ in range(10):
            await asyncio.sleep(0.01)
            node.write(10)
        await asyncio.sleep(0.05)
        node.write(1, verdict=flow_pb2.DROPPED)
        batch = await task
    assert ports(batch) == [100]
    assert not lost(batch)


async def test_a_follower_without_matches_learns_how_far_it_has_been() -> None:
    node = Node(limits=BatchLimits(position_interval_s=0.05))
    async with node.follow(whitelist=[DROPPED]) as follower:
        await follower.next()
        task = asyncio.get_running_loop().create_task(follower.next())
        await asyncio.sleep(0)
        for _ in range(4):
            node.write(10)
            await asyncio.sleep(0.01)
        batch = await task
        while batch.completeness.next_sequence < 40:
            batch = await follower.next()
    assert not lost(batch)
    node.write(1, verdict=flow_pb2.DROPPED)
    rest = await node.get(batch.resume_token, whitelist=[DROPPED])
    assert ports(*rest) == [40]
    assert not lost(*rest)


async def test_a_slow_follower_learns_what_it_lost() -> None:
    node = Node()
    async with node.follow() as follower:
        await follower.next()
        node.write(40)
        batch = await follower.next()
    assert lost(batch) == [(RING, 25)]
    assert ports(batch) == list(range(25, 40))


async def test_events_are_held_back_for_company_when_asked() -> None:
    node = Node()
    async with node.follow(options=BatchOptions(delay_max=Duration(nanos=200_000_000))) as follower:
        await follower.next()
        task = asyncio.get_running_loop().create_task(follower.next())
        for _ in range(3):
            await asyncio.sleep(0.01)
            node.write(1)
        assert ports(await task) == [0, 1, 2]


async def test_a_full_batch_is_not_held_back() -> None:
    node = Node(limits=BatchLimits(delay_max_s=3600))
    options = BatchOptions(delay_max=Duration(seconds=3600), responses_max=3)
    async with node.follow(options=options) as follower:
        await follower.next()
        task = asyncio.get_running_loop().create_task(follower.next())
        await asyncio.sleep(0.01)
        node.write(1)
        await asyncio.sleep(0.05)
        node.write(3)
        assert ports(await task) == [0, 1, 2]


async def test_a_batch_that_fills_takes_no_more_messages_than_it_has_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cursor, "TAKE_MESSAGES_MAX_BYTES", 2_000)
    node = Node()
    message = flow_pb2.Flow(Summary="x" * 1_000).SerializeToString()
    node.ring.append(flow_rows(10, message=1), [message])
    options = BatchOptions(delay_max=Duration(seconds=1), bytes_max=3_000)
    async with aclosing(node.batches(options=options)) as stream:
        first = FlowBatch.FromString((await anext(stream))[0])
        assert len(first.responses) == 2
        node.write(15)
        found = [FlowBatch.FromString(one) async for lists in stream for one in lists]
    # The rest was not held meanwhile.
    assert sum(len(one.responses) for one in found) == 2
    assert lost(found[1]) == [(RING, 6)]


async def test_the_server_bounds_the_delay() -> None:
    node = Node(limits=BatchLimits(delay_max_s=0))
    async with node.follow(options=BatchOptions(delay_max=Duration(seconds=3600))) as follower:
        await follower.next()
        node.write(1)
        assert ports(await follower.next()) == [0]


async def test_stopping_ends_a_stream_that_holds_back() -> None:
    node = Node(limits=BatchLimits(delay_max_s=3600))
    async with node.follow(options=BatchOptions(delay_max=Duration(seconds=3600))) as follower:
        await follower.next()
        task = asyncio.get_running_loop().create_task(follower.next())
        await asyncio.sleep(0.01)
        node.write(1)
        await asyncio.sleep(0.05)
        node.observer.stop()
        node.write(1)
        assert ports(await task) == [0, 1]
        with pytest.raises(Stopping):
            await follower.next()


async def test_streams_are_counted_with_all_others() -> None:
    node = Node(streams=Streams(streams_max=1))
    async with node.follow() as follower:
        await follower.next()
        with pytest.raises(Exhausted):
            await node.get()
    assert len(node.observer.streams) == 0


async def test_an_invalid_request_is_refused_before_the_first_batch() -> None:
    node = Node()
    for request in ({"first": True, "follow": True}, {"field_mask": {"paths": ["nope"]}}):
        with pytest.raises(RequestError):
            await node.get(**request)


async def test_a_field_mask_applies() -> None:
    node = Node()
    node.write(1)
    (batch,) = await node.get(field_mask={"paths": ["verdict"]})
    assert batch.responses[0].flow == flow_pb2.Flow(verdict=flow_pb2.FORWARDED)
    assert batch.responses[0].HasField("time")


class Stop:
    """Stops the delivery of flows with these ports."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers

    def on_flow_delivery(self, batch: Any) -> Any:
        return ~np.isin(batch.rows["source_port"], self._numbers)


async def test_what_hooks_stop_is_left_out_and_counted() -> None:
    node = Node()
    node.hooks.register(Stop(1, 6), "stop")
    node.write(10)
    (batch,) = await node.get(number=4)
    assert ports(batch) == [7, 8, 9]
    assert list(batch.sequences) == [7, 8, 9]
    found = await node.get(number=6, first=True, options=BatchOptions(responses_max=2))
    assert [ports(one) for one in found] == [[0, 2], [3, 4], [5]]
    rest = await node.get(found[0].resume_token, number=6, first=True)
    assert ports(*rest) == [3, 4, 5]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 20)),
        st.tuples(st.just("drop"), st.integers(1, 5)),
        st.tuples(st.just("read"), st.integers(0, 10)),
        st.tuples(st.just("cut"), st.integers(0, 5)),
    ),
    max_size=30,
)


class Reader:
    """Follows, may be cut anywhere, and resumes; like a client that keeps what it has read."""

    def __init__(self, node: Node, size: int, filters: list[flow_pb2.FlowFilter]) -> None:
        self._node = node
        self._request: dict[str, Any] = {
            "options": BatchOptions(responses_max=size),
            "whitelist": filters,
        }
        self.token = b""
        self.seen: list[int] = []
        self.lost = 0

    async def read(self, batches: int, *, within: int | None = None) -> None:
        """Read some batches, of the last perhaps only some responses, and leave.

        Without a token it follows from the very beginning.
        """
        stream = self._node.batches(
            self.token, follow=True, number=0 if self.token else ALL, **self._request
        )
        async with aclosing(stream):
            for left in range(batches, -1, -1):
                batch = FlowBatch.FromString((await anext(stream))[0])
                count = len(batch.sequences)
                if not left and within is not None and within < count:
                    if within:
                        self._take(batch, within)
                        missing = count - within
                        received = struct.pack(">QQ", batch.sequences[within - 1], missing)
                        self.token = batch.resume_token + received
                    return
                self._take(batch, count)
                self.token = batch.resume_token
                if batch.completeness.end_reached:
                    return

    def _take(self, batch: FlowBatch, count: int) -> None:
        self.seen += batch.sequences[:count]
        self.lost += sum(number for _, number in lost(batch))


@settings(max_examples=80, deadline=None)
@given(STEPS, st.integers(1, 8), st.sampled_from([[], [DROPPED]]))
def test_cut_anywhere_and_resumed_it_is_one_stream(
    steps: list[tuple[str, int]], size: int, filters: list[flow_pb2.FlowFilter]
) -> None:
    async def run() -> None:
        node = Node(capacity=31)
        reader = Reader(node, size, filters)
        written: list[int] = []
        await reader.read(0)
        for step, count in [*steps, ("read", 100)]:
            if step == "read":
                await reader.read(count)
            elif step == "cut":
                await reader.read(1, within=count)
            else:
                chosen = step == "drop"
                if chosen or not filters:
                    written += range(node.ring.next, node.ring.next + count)
                verdict = flow_pb2.DROPPED if chosen else flow_pb2.FORWARDED
                node.write(count, verdict=verdict)
        assert reader.seen == sorted(set(reader.seen))
        assert set(reader.seen) <= set(written)
        missing = len(written) - len(reader.seen)
        # Of what was overwritten unseen nobody knows whether it would have matched.
        assert reader.lost >= missing
        assert filters or reader.lost == missing

    asyncio.run(run())
