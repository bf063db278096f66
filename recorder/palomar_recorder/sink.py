"""One recording's packets on their way: taken as they come, written by a thread of its own.

Whoever has packets never waits for a disk or a stream's reader: what the queue has no room for is
lost and counted. Limits count what was queued, so that a file has exactly what was asked for.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from palomar_recorder.counts import Counts
from palomar_recorder.ending import Ending, WriteError
from palomar_recorder.target import StoredTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from palomar_recorder.encoder import Buffer, Encoder
    from palomar_recorder.packets import Packets
    from palomar_recorder.stop_condition import StopCondition
    from palomar_recorder.target import Target

# What a queued packet takes beside its bytes: its columns. Also about what it takes in a file.
_COLUMNS_BYTES = 64
# What a queued batch takes beside its packets: its arrays themselves. At a packet a batch that is
# most of it.
_BATCH_BYTES = 2_048
# A part of a batch is copied where it is less than this part of the batch's buffer: a queue that is
# full most of the time would hold all of what it took little of.
_SHARE = 4
# Written in one go. The more, the less it costs, up to about here.
_WRITE_BYTES = 1 << 21


class Sink:
    """Takes packets until its end, then writes what it has, and finishes its target.

    Args:
        encoder: of the file, for this sink alone.
        target: where its bytes go; for this sink alone.
        snaplen_bytes: of each packet; 0 for all.
        stop: when to take no more.
        queue_bytes_max: how much may wait to be written; at least 128 KiB, so
            that each packet has room in an empty queue.
        on_change: `counts` or `ending` changed. Called often, from the sink's thread and whatever
            calls the sink, so it must be cheap.
        on_end: called when a limit was reached, from whatever offered the packet, and from the
            sink's thread when it has `ended`.
    """

    def __init__(
        self,
        encoder: Encoder,
        target: Target,
        *,
        snaplen_bytes: int,
        stop: StopCondition,
        queue_bytes_max: int,
        on_change: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self.until_steady_ns: int | None = None
        """Packets later than this are not taken; by a clock that nobody sets, which is
        `clock_offset_ns` behind that of the packets. Anybody may set it."""
        self.clock_offset_ns = 0
        """Kept right by whoever offers packets: the wall clock may be set in the middle."""
        self.ending: Ending | None = None
        """Why the sink takes no more; None while it does. A failed write replaces it."""
        self.message = ""
        """What went wrong, in words."""
        self.ended_ns: int | None = None
        """Wall clock, UTC: since when the sink takes no more."""
        self._encoder = encoder
        self._target = target
        self._stored = target if isinstance(target, StoredTarget) else None
        self._snaplen_bytes = snaplen_bytes
        self._stop = stop
        self._queue_bytes_max = queue_bytes_max
        self._on_change = on_change
        self._on_end = on_end
        self._counts = Counts()
        self._queue: deque[Packets] = deque()
        self._queue_bytes = 0
        # Guards all of the above that changes; the thread waits for packets or the end.
        self._changed = threading.Condition()
        # What stands before all packets, until it is written.
        self._head: Sequence[Buffer] = ()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="palomar-sink", daemon=True)

    @property
    def until_ns(self) -> int | None:
        """`until_steady_ns` by the wall clock as it is set now."""
        until_ns = self.until_steady_ns
        return None if until_ns is None else until_ns + self.clock_offset_ns

    @until_ns.setter
    def until_ns(self, until_ns: int | None) -> None:
        self.until_steady_ns = None if until_ns is None else until_ns - self.clock_offset_ns

    @property
    def ended(self) -> bool:
        """Whether all is written and the target is finished: nothing changes any more."""
        return self._ended.is_set()

    @property
    def counts(self) -> Counts:
        """What became of the packets up to now; a copy."""
        with self._changed:
            return self._snapshot()

    def start(self) -> None:
        """Begin to write. Packets may be offered before, and it may be closed already."""
        with self._changed:
            if self._thread.ident is None:
                self._thread.start()

    def offer(self, packets: Packets) -> None:
        """Take packets, as far as they are wanted and there is room. Never waits for a write."""
        packets = self._wanted(packets)
        if len(packets) == 0:
            return
        sums = np.cumsum(packets.captured_bytes + _COLUMNS_BYTES)
        with self._changed:
            if self.ending is not None:
                return
            room_bytes = self._queue_bytes_max - self._queue_bytes - _BATCH_BYTES
            fitting = int(np.searchsorted(sums, room_bytes, side="right"))
            count, ending = self._stop.admit(packets.captured_bytes[:fitting])
            # Where a limit ends the recording, what comes behind was not asked for; else it is
            # lost, if there was no room.
            if ending is None and count < len(packets):
                lost = packets.take(slice(count, None))
                self._counts.captured.add(len(lost), int(lost.captured_bytes.sum()))
                self._counts.lost_sink_queue.add(len(lost), int(lost.captured_bytes.sum()))
            if count:
                taken = packets if count == len(packets) else _front(packets, count)
                self._counts.captured.add(count, int(sums[count - 1]) - count * _COLUMNS_BYTES)
                self._queue.append(taken)
                self._queue_bytes += int(sums[count - 1]) + _BATCH_BYTES
            if ending is not None:
                self._set_ending(ending, "")
            self._changed.notify()
        if count < len(packets) or ending is not None:
            self._on_change()
        if ending is not None:
            self._on_end()

    def add_lost_perf_ring(self, packets: int, bytes: int) -> None:  # noqa: A002 - as counted
        """Count packets that the kernel had no room for."""
        with self._changed:
            if self._ended.is_set() or packets == 0:
                return
            self._counts.lost_perf_ring.add(packets, bytes)
        self._on_change()

    def close(self, ending: Ending, message: str = "") -> None:
        """Take no more, write what is queued, and finish; returns at once.

        The first ending stands. A sink that was never started is started, to finish its target.
        """
        with self._changed:
            if self.ending is not None:
                return
            self._set_ending(ending, message)
        self.start()
        self._on_change()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended.

        Returns:
            Whether it has.
        """
        return self._ended.wait(timeout_s)

    def _wanted(self, packets: Packets) -> Packets:
        """Those that come in time, and no more of each than wanted."""
        until_ns = self.until_ns
        if until_ns is not None:
            in_time = packets.times_ns <= until_ns
            if not in_time.all():
                packets = packets.take(in_time)
        return packets.cut(self._snaplen_bytes) if self._snaplen_bytes else packets

    def _set_ending(self, ending: Ending, message: str) -> None:
        """Call with the lock held."""
        self.ending = ending
        self.message = message
        if self.ended_ns is None:
            self.ended_ns = time.time_ns()
        self._changed.notify()

    def _run(self) -> None:
        try:
            self._head = self._encoder.begin()
            self._target.write(self._head)
            self._head = ()
            while (packets := self._next()) is not None:
                self._write(packets)
        except WriteError as error:
            self._fail(error.ending, str(error))
        # Whatever it is: nobody else would notice that the thread is gone.
        except Exception as error:  # noqa: BLE001
            self._fail(Ending.ERROR, f"{type(error).__name__}: {error}")
        self._finish()

    def _next(self) -> Packets | None:
        """The next packets; waits for them. None: there are no more."""
        while True:
            with self._changed:
                if self._queue:
                    return self._queue.popleft()
                if self.ending is not None:
                    return None
                if self._stored is None:
                    self._changed.wait()
                    continue
            if not self._stored.catch_up():
                with self._changed:
                    self._changed.wait_for(lambda: self._queue or self.ending is not None)

    def _write(self, packets: Packets) -> None:
        """Write some packets piece by piece; near the target's limit, the pieces become small.

        Raises:
            WriteError: there is something that the target does not take even a packet at a time.
        """
        sums = np.cumsum(packets.captured_bytes + _COLUMNS_BYTES)
        done, done_bytes = 0, 0
        most = len(packets)
        try:
            while done < len(packets):
                most_bytes = _WRITE_BYTES
                if self._stored is not None:
                    most_bytes = min(most_bytes, self._stored.room_bytes)
                end = int(np.searchsorted(sums, done_bytes + most_bytes, side="right"))
                # One that seems not to fit is tried alone: then the target has the last word.
                end = max(min(end, done + most), done + 1)
                whole = done == 0 and end == len(packets)
                piece = packets if whole else packets.take(slice(done, end))
                try:
                    self._target.write(self._encoder.encode(piece))
                except BaseException as error:
                    self._encoder.undo()
                    if len(piece) == 1 or not _is_want_of_room(error):
                        raise
                    # Notes and headers take more than was thought.
                    most = len(piece) // 2
                    continue
                size = int(sums[end - 1]) - done_bytes
                with self._changed:
                    self._queue_bytes -= size
                    if end == len(packets):
                        self._queue_bytes -= _BATCH_BYTES
                    self._counts.written.add(len(piece), size - len(piece) * _COLUMNS_BYTES)
                done, done_bytes = end, int(sums[end - 1])
                self._on_change()
        finally:
            if done < len(packets):
                rest = packets.captured_bytes[done:]
                with self._changed:
                    self._counts.lost_disk.add(len(rest), int(rest.sum()))

    def _fail(self, ending: Ending, message: str) -> None:
        """What is still queued is lost, and so is an ending that promised to write it."""
        with self._changed:
            for packets in self._queue:
                self._counts.lost_disk.add(len(packets), int(packets.captured_bytes.sum()))
            self._queue.clear()
            self._set_ending(ending, message)
        self._on_change()

    def _fail_at_end(self, fault: str) -> None:
        """What failed before it stands, and is not all that is wrong."""
        ending = self.ending if self.ending is not None and self.ending.is_failure else Ending.ERROR
        self._fail(ending, "; ".join(filter(None, (self.message, fault))))

    def _finish(self) -> None:
        with self._changed:
            counts = self._snapshot()
            ended_ns = self.ended_ns or time.time_ns()
        try:
            # A file that has no room for its head has one all the same: without, nothing reads it.
            self._target.finish([*self._head, *self._encoder.end(counts, ended_ns)])
        except Exception as error:  # noqa: BLE001 - as above; the file keeps what it has
            self._fail(Ending.ERROR, f"{type(error).__name__}: {error}")
            self._target.finish(self._head)
        if self._stored is not None and self._stored.fault:
            self._fail_at_end(self._stored.fault)
        with self._changed:
            self._queue_bytes = 0
            self._ended.set()
        self._on_change()
        self._on_end()

    def _snapshot(self) -> Counts:
        """Call with the lock held."""
        counts = self._counts
        return Counts(
            captured=dataclasses.replace(counts.captured),
            written=dataclasses.replace(counts.written),
            lost_perf_ring=dataclasses.replace(counts.lost_perf_ring),
            lost_sink_queue=dataclasses.replace(counts.lost_sink_queue),
            lost_disk=dataclasses.replace(counts.lost_disk),
        )


def _front(packets: Packets, count: int) -> Packets:
    """The first packets, holding not much more memory than they need."""
    front = packets.take(slice(count))
    if _SHARE * int(front.captured_bytes.sum()) < len(packets.buffer):
        return front.compacted()
    return front


def _is_want_of_room(error: BaseException) -> bool:
    return isinstance(error, WriteError) and error.ending.is_want_of_room
