"""One recording under way: what feeds it, what became of it so far, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Protocol

import structlog

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.ending import Ending
from palomar_server.catalogue.catalogue import UNDER_WAY
from palomar_server.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from palomar_recorder.counts import Counts, PacketCount
    from palomar_recorder.sink import Sink
    from palomar_server.recording.interface_names import InterfaceNames
    from palomar_server.recording.subscription import Subscription

log = structlog.get_logger(__name__)

_NS_PER_S = 1_000_000_000
_PATIENCE_S = 15.0
"""How long a reader may read nothing of what a stream has when it has ended."""
_STARTING = recordings_pb2.RECORDING_STATUS_STARTING
_ARMED = recordings_pb2.RECORDING_STATUS_ARMED
_RUNNING = recordings_pb2.RECORDING_STATUS_RUNNING
_STOPPING = recordings_pb2.RECORDING_STATUS_STOPPING
_COMPLETE = recordings_pb2.RECORDING_STATUS_COMPLETE
_FAILED = recordings_pb2.RECORDING_STATUS_FAILED
STAGES = ("captured", "written", "lost_perf_ring", "lost_sink_queue", "lost_disk")
"""Of a recording's counts."""


class Feed(Protocol):
    """Gives subscribers their packets; `dispatcher.Dispatcher`. Both calls may take long."""

    def add(self, subscription: Subscription) -> None:
        """Begin; returns once the kernel takes packets for it.

        Raises:
            CaptureError: it cannot.
        """

    def remove(self, subscription: Subscription) -> None:
        """End; returns once all that the kernel took for it was offered to its sink."""


class Session:
    """A recording from its start until its file is whole. Of the loop's thread, unless said.

    Args:
        recording: what is known of it so far: id, request, who started it and when. Its own from
            now on.
        feed: gives packets.
        most_ns: when it ends at the latest, from its start.
    """

    def __init__(
        self,
        recording: recordings_pb2.Recording,
        feed: Feed,
        *,
        most_ns: int,
    ) -> None:
        self.recording = recording
        """What is known; counts and interfaces are filled in when it ends."""
        self.interfaces: InterfaceNames | None = None
        """Notes where the packets were seen."""
        self._feed = feed
        self._loop = loop = asyncio.get_running_loop()
        self._most_ns = most_ns
        self._duration_ns = recording.request.stop.duration.ToNanoseconds()
        self._waker = Waker(loop)
        self._numbers = itertools.count(1)
        self._version = 0
        self._sink: Sink
        self._subscription: Subscription
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()
        self._sink_done = asyncio.Event()
        self._told_end = False
        self._written = asyncio.Event()
        self._on_written: Callable[[], Awaitable[None]]
        self._on_late: Callable[[], None]

    def connect(
        self,
        subscription: Subscription,
        on_written: Callable[[], Awaitable[None]],
        on_late: Callable[[], None] = lambda: None,
    ) -> None:
        """Tell what it writes to.

        Args:
            subscription: has the sink that writes them.
            on_written: awaited when the sink has written everything, before it counts as ended.
            on_late: called again and again while the sink, which is to end, has not.
        """
        self._subscription = subscription
        self._sink = subscription.sink
        self._on_written = on_written
        self._on_late = on_late

    async def begin(self) -> None:
        """Take packets from now on.

        Raises:
            CaptureError: capture is not possible; nothing is under way.
        """
        armed = self._subscription.trigger is not None
        # Before there are packets, since with the first of them it may change.
        self.recording.status = _STARTING
        try:
            await asyncio.to_thread(self._feed.add, self._subscription)
            # Only now: a sink that was never started leaves nothing behind.
            await self._start_sink()
        except BaseException as error:
            self._could_not_begin(error)
            raise
        now_ns = self._steady_ns()
        # It may have reached a limit while the last interfaces were attached to.
        started_ns = min(time.time_ns(), self._sink.ended_ns or time.time_ns())
        self.recording.started.FromNanoseconds(started_ns)
        if self.recording.status == _STARTING:
            self.recording.status = _ARMED if armed else _RUNNING
        if not armed:
            self._limit(now_ns)
        self._end_at(now_ns + self._most_ns)
        self._begun.set()
        self.changed()

    async def _start_sink(self) -> None:
        try:
            self._sink.start()
        except BaseException:  # there may be no more threads to have
            await asyncio.to_thread(self._feed.remove, self._subscription)
            raise

    def _could_not_begin(self, error: BaseException) -> None:
        """Tell those who wait for its end already."""
        if self._ended is not None:
            self._ended.cancel()
        self.recording.status = _FAILED
        self.recording.end = recordings_pb2.RECORDING_END_ERROR
        self.recording.message = f"could not begin: {error}"
        self._written.set()
        self.changed()

    # What other threads tell.

    def changed(self) -> None:
        """There is something new to tell. From any thread."""
        # Two threads may come at once: a number that was never there is a change in any case.
        self._version = next(self._numbers)
        self._waker.notify()

    def sink_changed(self) -> None:
        """The sink's counts changed, or it takes no more. From any thread."""
        self.changed()
        if self._sink.ending is not None and not self._told_end:
            # What feeds it can be let go while it still writes.
            self._told_end = True
            self._soon(self._look_at_sink)

    def sink_ended(self) -> None:
        """The sink has written all. From any thread."""
        self._soon(self._look_at_sink)

    def triggered(self, time_ns: int) -> None:
        """The trigger fired with a packet of that time, UTC. From any thread."""
        steady_ns = time_ns - self._sink.clock_offset_ns
        if self._duration_ns:
            # At once: the packets come right behind.
            self._sink.until_steady_ns = steady_ns + self._duration_ns
        self._soon(lambda: self._has_triggered(time_ns, steady_ns))

    def _soon(self, function: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            # The loop has closed: nobody asks any more.
            return

    # What others want.

    def message(self) -> recordings_pb2.Recording:
        """The recording now."""
        now = recordings_pb2.Recording()
        now.CopyFrom(self.recording)
        self._fill(now)
        if now.status not in UNDER_WAY and not self.has_ended:
            # Somebody might remove it before it is noted.
            now.status = _STOPPING
            now.ClearField("end")
        return now

    @property
    def version(self) -> int:
        """Another one whenever there is something new."""
        return self._version

    @property
    def has_ended(self) -> bool:
        """Whether everything of it is written."""
        return self._written.is_set()

    async def wait_changed(self, since: int, timeout_s: float | None = None) -> None:
        """Return when `version` is another than `since`, or the time is over."""
        await self._waker.wait(lambda: self._version != since, timeout_s)

    async def wait_ended(self, timeout_s: float) -> None:
        """Return when everything is written, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._written.wait()

    async def end(self, ending: Ending, message: str = "") -> None:
        """Take no more, and return when everything is written. The first reason stays.

        Whoever does not want to wait any more may be cancelled; the recording ends all the same.
        """
        self.begin_end(ending, message)
        await self._written.wait()

    def begin_end(self, ending: Ending, message: str = "") -> None:
        """The same, without waiting."""
        self._end_by(ending, message)

    # How it ends.

    def _end_by(self, ending: Ending | None, message: str) -> None:
        """Begin to end, for that reason or for the sink's own; the first call counts."""
        if self._ended is None:
            name = f"end {self.recording.id}"
            self._ended = self._loop.create_task(self._drain(ending, message), name=name)

    async def _drain(self, ending: Ending | None, message: str) -> None:
        # A packet may have ended it before it was known to have begun.
        await self._begun.wait()
        if self._timer is not None:
            self._timer.cancel()
        self.recording.status = _STOPPING
        self.changed()
        try:
            await asyncio.to_thread(self._feed.remove, self._subscription)
        except Exception as error:  # whatever is wrong with the kernel, the file must be finished
            log.exception("a recording could not be detached", id=self.recording.id)
            message = message or f"could not be detached: {error}"
        if ending is not None:
            self._sink.close(ending, message)
        await self._await_sink()
        reached = self._sink.ending or Ending.ERROR
        recording = self.recording
        recording.end = recordings_pb2.RecordingEnd.Value(f"RECORDING_END_{reached.name}")
        recording.message = self._sink.message
        recording.status = _FAILED if reached.is_failure else _COMPLETE
        recording.ended.FromNanoseconds(self._sink.ended_ns or time.time_ns())
        self._fill(recording)
        try:
            await self._on_written()
        except Exception:
            log.exception("the end of a recording could not be noted", id=recording.id)
        self._written.set()
        self.changed()

    async def _await_sink(self) -> None:
        """Wait until the sink has written all, and tell from time to time that it has not."""
        while not self._sink_done.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await self._sink_done.wait()
                    return
            self._on_late()

    def _fill(self, recording: recordings_pb2.Recording) -> None:
        fill_counts(recording.counts, self._sink.counts)
        if self.interfaces is not None:
            recording.interface_names[:] = self.interfaces.names

    def _look_at_sink(self) -> None:
        if self._sink.ended:
            self._sink_done.set()
        self._end_by(None, "")

    def _has_triggered(self, time_ns: int, steady_ns: int) -> None:
        self.recording.triggered.FromNanoseconds(time_ns)
        if self.recording.status in {_STARTING, _ARMED}:
            self.recording.status = _RUNNING
            self._limit(steady_ns)
            self.changed()

    # How long it lasts goes by a clock that nobody sets: an hour forward must not end it, nor keep
    # packets out of it.

    def _steady_ns(self) -> int:
        """Now, by the clock of the sink's `until_steady_ns`."""
        knows_boot = self._sink.clock_offset_ns != 0
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) if knows_boot else time.time_ns()

    def _limit(self, begun_ns: int) -> None:
        """Have it end when its duration is over."""
        if self._duration_ns:
            self._sink.until_steady_ns = begun_ns + self._duration_ns
            self._end_at(begun_ns + self._duration_ns)

    def _end_at(self, steady_ns: int) -> None:
        """End it then, unless it is to end earlier."""
        delay_s = max(0.0, (steady_ns - self._steady_ns()) / _NS_PER_S)
        when_s = self._loop.time() + delay_s
        if self._timer is not None:
            if self._timer.when() <= when_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when_s, self.begin_end, Ending.DURATION)


def fill_counts(message: recordings_pb2.RecordingCounts, counts: Counts) -> None:
    """Put the counts of a sink into a message."""
    for name in STAGES:
        count: PacketCount = getattr(counts, name)
        # A count of zeros is there, too: readers need not ask.
        getattr(message, name).packets = count.packets
        getattr(message, name).bytes = count.bytes
        getattr(message, name).SetInParent()
