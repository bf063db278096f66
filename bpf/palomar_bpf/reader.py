"""Reads what the programs emit: all CPUs' perf rings, many events at a time.

In goes the `events` map of the loaded programs; out come `PayloadBatch`es. Called by
`palomar_bpf.capture` from one capture thread; `wake()` may be called from any thread. What is
between the kernel and a batch: `perf_event` (system calls), `ring` and `records` (shared memory),
`pacing`.

On a quiet node every event announces itself and is read at once; nothing wakes the reader
otherwise. While `pacing` calls the node busy, announcements are switched off in the kernel and the
rings are read by the clock, or earlier when one of them gets half full.
"""

from __future__ import annotations

import logging
import os
import select
import struct
import time

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.bpf_call import map_delete, map_update
from palomar_bpf.errors import BpfError
from palomar_bpf.pacing import Pacer
from palomar_bpf.perf_event import PerfEvents, fence, needs_fence, online_cpus, open_bpf_output
from palomar_bpf.ring import PerfRing, drain

logger = logging.getLogger(__name__)

_U32 = struct.Struct("=I")
_POLL_STEP_S = 0.001
"""epoll counts in these; shorter waits are slept."""
_LAST_LOOKS_S = (0.0, 0.05)
"""Waits after announcements were switched on again. The first drain finds what came before the
switch; the second what a program emitted that was running while the switch was made."""


class PerfReader:
    """The consumer of a perf event array.

    CPUs that come online later are not read: what is emitted there fails in the kernel, where the
    programs count it as lost.

    Args:
        events_map_fd: The perf event array; each online CPU's slot is filled here.
        pages_per_cpu: Size of each ring in pages of memory; a power of two.
        coalesce_max_s: Longest time in seconds that events wait for company on a busy node.

    Raises:
        ValueError: `pages_per_cpu` or `coalesce_max_s` is out of range.
        CaptureError: the kernel refused a ring or the map a slot.
    """

    def __init__(
        self, events_map_fd: int, *, pages_per_cpu: int = 64, coalesce_max_s: float = 0.015
    ) -> None:
        if pages_per_cpu < 1 or pages_per_cpu & (pages_per_cpu - 1):
            raise ValueError(f"pages_per_cpu must be a power of two, not {pages_per_cpu}")
        _not_negative(coalesce_max_s)
        self.loss_hint = False
        """Set when the kernel noted a loss; whoever counts losses clears it."""
        self.woken = False
        """Whether the last `read()` ended because of `wake()`; for the thread that reads."""
        self._map_fd = events_map_fd
        self._events: list[PerfEvents] = []
        self._rings: list[PerfRing] = []
        self._announced = True
        self._last_looks_s: list[float] = []
        self._fence = fence if needs_fence() else None
        self._epoll = select.epoll()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake_fd, select.EPOLLIN)
        try:
            for cpu in online_cpus():
                events = open_bpf_output(cpu, pages_per_cpu)
                self._events.append(events)
                self._rings.append(PerfRing(cpu, events.memory))
                self._epoll.register(events.announcing_fd, select.EPOLLIN)
                map_update(events_map_fd, _U32.pack(cpu), _U32.pack(events.announcing_fd))
        except BaseException:
            self.close()
            raise
        self._pacer = Pacer(self._rings[0].size_bytes, coalesce_max_s)

    def read(self, timeout_s: float | None) -> PayloadBatch | None:
        """Wait for events, let more gather if the node is busy, and take all there are.

        Args:
            timeout_s: How long to wait for the first event; None for as long as it takes.

        Returns:
            The payloads with up to 7 bytes of padding each, in a buffer that is the caller's; or
            None if the time was up or `wake()` was called and there was nothing to read.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            now_s = time.monotonic()
            pause_s = self._pacer.pause_s(now_s)
            self._announce(pause_s is None)
            wait_s = None if deadline_s is None else max(0.0, deadline_s - now_s)
            if pause_s is None and self._last_looks_s:
                pause_s = self._last_looks_s.pop(0)
            if pause_s is not None:
                wait_s = pause_s if wait_s is None else min(pause_s, wait_s)
            self.woken = self._wait(wait_s)
            batch = self._drain()
            if batch is not None or self.woken:
                return batch
            if pause_s is not None:
                self._pacer.calm()
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return None

    def wake(self) -> None:
        """Make the `read()` that is running, or else the next one, return without waiting."""
        os.eventfd_write(self._wake_fd, 1)

    def coalesce(self, max_s: float) -> None:
        """Change how long events wait for company, from the next drain on; from any thread.

        Raises:
            ValueError: `max_s` is negative.
        """
        self._pacer.coalesce_max_s = _not_negative(max_s)

    def close(self) -> None:
        """Take the rings out of the map and free them; not while another thread is in `read()`."""
        if self._epoll.closed:
            return
        self._rings.clear()
        for events in self._events:
            try:
                map_delete(self._map_fd, _U32.pack(events.cpu))
            except BpfError:
                logger.warning("a perf ring could not be taken out of its map", exc_info=True)
            events.close()
        self._events.clear()
        self._epoll.close()
        os.close(self._wake_fd)

    def _announce(self, announced: bool) -> None:  # noqa: FBT001 the state to go to
        """Have the kernel announce events, or stop doing so."""
        if announced == self._announced:
            return
        for events in self._events:
            fd = events.announcing_fd if announced else events.silent_fd
            map_update(self._map_fd, _U32.pack(events.cpu), _U32.pack(fd))
        self._announced = announced
        self._last_looks_s = list(_LAST_LOOKS_S) if announced else []

    def _wait(self, wait_s: float | None) -> bool:
        """Sleep until there is something to read or the time is up; True after `wake()`."""
        if wait_s is not None and 0 < wait_s < _POLL_STEP_S:
            time.sleep(wait_s)
            wait_s = 0
        woken = any(fd == self._wake_fd for fd, _ in self._epoll.poll(wait_s))
        if woken:
            os.eventfd_read(self._wake_fd)
        return woken

    def _drain(self) -> PayloadBatch | None:
        """Everything in the rings as a batch; None if they are empty or hold only notes of loss."""
        drained = drain(self._rings, self._fence)
        if drained is None:
            return None
        self._pacer.drained(time.monotonic(), len(drained.offsets), drained.busiest_bytes)
        self.loss_hint = self.loss_hint or drained.lost
        if drained.damaged_bytes:
            logger.error("skipped %d bytes of perf ring without records", drained.damaged_bytes)
        if len(drained.offsets) == 0:
            return None
        return PayloadBatch(
            buffer=drained.buffer,
            offsets=drained.offsets,
            lengths=drained.lengths,
            cpus=drained.cpus,
            received_ns=time.time_ns(),
        )


def _not_negative(coalesce_max_s: float) -> float:
    if coalesce_max_s < 0:
        raise ValueError(f"coalesce_max_s must not be negative, but is {coalesce_max_s}")
    return coalesce_max_s
