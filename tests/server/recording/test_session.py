from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from palomar_bpf.errors import CaptureError
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.ending import Ending, WriteError
from palomar_recorder.pcap import PcapEncoder
from palomar_recorder.sink import Sink
from palomar_recorder.stop_condition import StopCondition
from palomar_recorder.testing import MemoryTarget, packets_of
from palomar_server.recording.packet_filter import CompiledPacketFilter
from palomar_server.recording.session import Session
from palomar_server.recording.subscription import Subscription
from palomar_server.testing import Core

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_recorder.packets import Packets

ARMED = recordings_pb2.RECORDING_STATUS_ARMED
RUNNING = recordings_pb2.RECORDING_STATUS_RUNNING
COMPLETE = recordings_pb2.RECORDING_STATUS_COMPLETE
FAILED = recordings_pb2.RECORDING_STATUS_FAILED
MINUTE_NS = 60 * 10**9


def now_packets(*contents: bytes, after_ns: int = 0) -> Packets:
    time_ns = time.time_ns() + after_ns
    return packets_of(contents, times_ns=[time_ns] * len(contents))


class Feed:
    """Gives what it is told to; what is on its way comes when it is left."""

    def __init__(self) -> None:
        self.subscription: Subscription | None = None
        self.on_the_way: Packets | None = None
        self.refuse: CaptureError | None = None
        self.at_once: Packets | None = None
        self.on_add: Callable[[], None] = lambda: None

    def add(self, subscription: Subscription) -> None:
        self.on_add()
        if self.refuse is not None:
            raise self.refuse
        self.subscription = subscription
        if self.at_once is not None:
            subscription.sink.offer(self.at_once)

    def remove(self, subscription: Subscription) -> None:
        if self.on_the_way is not None:
            subscription.sink.offer(self.on_the_way)
        self.subscription = None


class Recorded:
    """A session into memory."""

    def __init__(
        self,
        *,
        packets: int = 0,
        duration_ns: int = 0,
        most_ns: int = MINUTE_NS,
        armed: bool = False,
    ) -> None:
        self.feed = Feed()
        self.target = MemoryTarget()
        self.written: list[int] = []
        recording = recordings_pb2.Recording(id="a-00000000")
        recording.request.stop.duration.FromNanoseconds(duration_ns)
        self.session = session = Session(recording, self.feed, most_ns=most_ns)
        core = Core()
        selection = CompiledPacketFilter(
            recordings_pb2.PacketFilter(), surroundings=core.surroundings, encoder=core.encoder
        )
        self.sink = Sink(
            PcapEncoder(snaplen_bytes=0),
            self.target,
            snaplen_bytes=0,
            stop=StopCondition(packets=packets),
            queue_bytes_max=1 << 20,
            on_change=session.sink_changed,
            on_end=session.sink_ended,
        )
        session.connect(
            Subscription(filter=selection, sink=self.sink, trigger=selection if armed else None),
            self.note,
        )

    async def note(self) -> None:
        self.written.append(self.session.recording.status)


async def test_what_is_on_its_way_at_the_stop_is_written() -> None:
    one = Recorded()
    await one.session.begin()
    assert one.session.message().status == RUNNING
    one.feed.on_the_way = now_packets(b"x" * 60, b"y" * 60)
    await one.session.end(Ending.STOPPED)
    told = one.session.message()
    assert (told.status, told.end) == (COMPLETE, recordings_pb2.RECORDING_END_STOPPED)
    assert told.counts.written.packets == 2
    assert told.counts.HasField("lost_disk")
    assert one.written == [COMPLETE]
    assert one.target.is_finished


async def test_the_first_reason_to_end_stays() -> None:
    one = Recorded()
    await one.session.begin()
    one.session.begin_end(Ending.CALLER_GONE, "gone")
    await one.session.end(Ending.STOPPED)
    told = one.session.message()
    assert (told.end, told.message) == (recordings_pb2.RECORDING_END_CALLER_GONE, "gone")
    assert len(one.written) == 1


async def test_a_limit_reached_before_it_was_known_to_have_begun_ends_it() -> None:
    one = Recorded(packets=1)
    one.feed.at_once = now_packets(b"x" * 60, b"y" * 60)
    await one.session.begin()
    await one.session.wait_ended(5)
    told = one.session.message()
    assert (told.end, told.counts.written.packets) == (recordings_pb2.RECORDING_END_PACKETS, 1)
    assert one.feed.subscription is None
    assert told.started.ToNanoseconds() <= told.ended.ToNanoseconds()


async def test_what_cannot_be_written_fails_it() -> None:
    one = Recorded()
    await one.session.begin()
    one.target.error = WriteError(Ending.DISK_FULL, "no room")
    one.sink.offer(now_packets(b"x" * 60))
    await one.session.wait_ended(5)
    told = one.session.message()
    assert (told.status, told.message) == (FAILED, "no room")
    assert told.counts.lost_disk.packets == 1


async def test_its_time_is_over_after_its_duration_and_no_later_packet_is_taken() -> None:
    one = Recorded(duration_ns=20_000_000)
    await one.session.begin()
    one.feed.on_the_way = now_packets(b"x" * 60, after_ns=MINUTE_NS)
    await one.session.wait_ended(5)
    told = one.session.message()
    assert told.end == recordings_pb2.RECORDING_END_DURATION
    assert told.counts.captured.packets == 0


async def test_one_that_waits_for_its_trigger_ends_too() -> None:
    one = Recorded(most_ns=10_000_000, armed=True)
    await one.session.begin()
    assert one.session.message().status == ARMED
    await one.session.wait_ended(5)
    assert one.session.message().end == recordings_pb2.RECORDING_END_DURATION


async def test_the_duration_counts_from_the_trigger() -> None:
    one = Recorded(duration_ns=MINUTE_NS, armed=True)
    await one.session.begin()
    assert one.sink.until_ns is None
    fired_ns = time.time_ns()
    await asyncio.to_thread(one.session.triggered, fired_ns)
    assert one.sink.until_ns == fired_ns + MINUTE_NS
    version = one.session.version
    await one.session.wait_changed(version, 0.05)
    told = one.session.message()
    assert (told.status, told.triggered.ToNanoseconds()) == (RUNNING, fired_ns)
    await one.session.end(Ending.STOPPED)


@pytest.mark.parametrize("set_ns", [-3_600 * 10**9, 3_600 * 10**9])
async def test_its_duration_is_as_long_where_the_clock_is_set(set_ns: int) -> None:
    one = Recorded(duration_ns=MINUTE_NS, armed=True)
    boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    one.sink.clock_offset_ns = offset_ns = time.time_ns() - boot_ns + set_ns
    await one.session.begin()
    await asyncio.to_thread(one.session.triggered, boot_ns + offset_ns)
    one.sink.clock_offset_ns -= set_ns
    late_ns = boot_ns + MINUTE_NS + one.sink.clock_offset_ns
    one.sink.offer(packets_of([b"x" * 60, b"y" * 60], times_ns=[late_ns, late_ns + 1]))
    await asyncio.sleep(0.01)
    assert one.session.message().status == RUNNING
    assert one.sink.counts.captured.packets == 1
    await one.session.end(Ending.STOPPED)


async def test_one_that_cannot_begin_leaves_its_target_alone() -> None:
    one = Recorded()
    one.feed.refuse = CaptureError("no")
    with pytest.raises(CaptureError):
        await one.session.begin()
    assert not one.target.content


@pytest.mark.parametrize(("armed", "status"), [(False, RUNNING), (True, ARMED)])
async def test_it_is_starting_until_the_kernel_takes_packets(
    armed: bool,  # noqa: FBT001
    status: int,
) -> None:
    one = Recorded(armed=armed)
    told = []
    one.feed.on_add = lambda: told.append(one.session.message().status)
    await one.session.begin()
    told.append(one.session.message().status)
    assert told == [recordings_pb2.RECORDING_STATUS_STARTING, status]
    await one.session.end(Ending.STOPPED)


async def test_one_whose_trigger_fires_while_it_starts_is_running() -> None:
    one = Recorded(armed=True, duration_ns=MINUTE_NS)
    fired_ns = time.time_ns()
    one.feed.on_add = lambda: one.session.triggered(fired_ns)
    await one.session.begin()
    await asyncio.sleep(0)
    told = one.session.message()
    assert (told.status, told.triggered.ToNanoseconds()) == (RUNNING, fired_ns)
    assert one.sink.until_ns == fired_ns + MINUTE_NS
    await one.session.end(Ending.STOPPED)


async def test_who_waits_for_one_that_cannot_begin_is_told_so() -> None:
    one = Recorded()
    one.feed.refuse = CaptureError("no room")
    stopping = asyncio.get_running_loop().create_task(one.session.end(Ending.STOPPED))
    await asyncio.sleep(0)
    with pytest.raises(CaptureError):
        await one.session.begin()
    async with asyncio.timeout(5):
        await stopping
    told = one.session.message()
    assert (told.status, told.message) == (FAILED, "could not begin: no room")


async def test_watchers_are_told_of_changes() -> None:
    one = Recorded()
    await one.session.begin()
    version = one.session.version
    one.sink.offer(now_packets(b"x" * 60))
    await one.session.wait_changed(version, 5)
    assert one.session.version != version
    await one.session.end(Ending.STOPPED)


async def test_without_a_thread_to_write_it_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start() -> None:
        raise RuntimeError("can't start new thread")

    one = Recorded()
    monkeypatch.setattr(one.sink, "start", start)
    with pytest.raises(RuntimeError, match="thread"):
        await one.session.begin()
    assert one.feed.subscription is None


async def test_it_counts_as_ended_once_that_is_noted() -> None:
    one = Recorded()
    go_on = asyncio.Event()
    noting = asyncio.Event()

    async def note() -> None:
        noting.set()
        await go_on.wait()

    one.session.connect(one.session._subscription, note)
    await one.session.begin()
    one.session.begin_end(Ending.STOPPED)
    await noting.wait()
    told = one.session.message()
    assert (told.status, told.end) == (recordings_pb2.RECORDING_STATUS_STOPPING, 0)
    go_on.set()
    await one.session.wait_ended(5)
    assert one.session.message().status == COMPLETE
