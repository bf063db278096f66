"""A Cilium agent's monitor socket as a source: its payloads as ours.

In: the stream of protocol 1.2 (`palomar_proto.monitor.payload`), by default
/var/run/cilium/monitor1_2.sock. Out: batches of what has arrived, through `source.Source`. The
stream is only taken while somebody wants it: a resting source is disconnected, since the agent's
own capture runs for its listeners.

A connection that is cut comes back after a pause that grows; what happened in between is told as a
loss of the kind `SOURCE_GAP`, for nobody knows how much it was. Names are not taken from the
stream: it tells changes only, so most pods would stay without any; an inventory gives them.

Events of another palomard carry the kernel's time. Who is at the other end of a unix socket has the
same kernel, so its clock is measured here. Interfaces get the names they have here, where the other
end is in the same network namespace (`link_names`).
"""

from __future__ import annotations

import os
import random
import select
import socket
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

import structlog

from palomar_bpf.batch import Loss, LossKind, PayloadBatch
from palomar_bpf.boot_clock import boot_offset_ns
from palomar_proto.monitor.payload import LOST, SAMPLE, PayloadDecoder, PayloadError
from palomar_server.link_names import LinkNames, shares_network
from palomar_server.source import CLOCK_INTERVAL_S, END

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from palomar_proto.monitor.payload import Payload
    from palomar_server.source import SourceItem
    from palomar_server.surroundings import Context

log = structlog.get_logger(__name__)

RETRY_MIN_S = 0.5
RETRY_MAX_S = 30.0
"""Pauses between attempts to connect grow from the one to the other, each shortened at random by up
to half, so that many nodes do not return at one moment."""
COALESCE_S = 5e-3
"""A batch of few events is followed by a pause of this length: the agent sends each event alone,
and a batch of one costs as much as one of a hundred."""
FEW_EVENTS = 256
LINKS_INTERVAL_S = 1.0
"""How often links are listed while there is traffic: a new pod's name comes that late at most."""
_RECEIVE_BYTES = 1 << 18
"""A unix socket's buffer holds less."""
_CPU_MAX = 0xFFFF
_EVENTS_MAX = (1 << 63) - 1
"""Of a loss."""


class CiliumSource:
    """Reads the monitor socket, and connects again whenever that ends. Never at its end.

    Args:
        path: of the socket; need not exist yet.
        context: what is given first, such as the name of the node.
        retry_min_s: first pause before connecting anew, seconds.
        retry_max_s: longest, likewise.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: Iterable[Context] = (),
        retry_min_s: float = RETRY_MIN_S,
        retry_max_s: float = RETRY_MAX_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._ready: deque[PayloadBatch | Context] = deque(context)
        self._retry_min_s = retry_min_s
        self._retry_max_s = retry_max_s
        self._clock = clock
        self._closing = threading.Lock()
        self._woken: int | None = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._resting = False
        self._connection: socket.socket | None = None
        self._decoder = PayloadDecoder()
        self._retry_s = retry_min_s
        self._retry_at_s = 0.0
        self._receive_at_s = 0.0
        self._clock_due_s = float("-inf")
        self._links: LinkNames | None = None
        self._links_due_s = float("-inf")
        self._gap_from_ns = 0
        self._complained = False
        self.gaps = 0
        """Connections that were cut, so far."""
        self.unknown = 0
        """Payloads of a type that is neither sample nor loss."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None

    def read(self, timeout_s: float | None = None) -> SourceItem | None:
        """See `source.Source.read`."""
        deadline_s = float("inf") if timeout_s is None else self._clock() + timeout_s
        while True:
            if self._woken is None:
                return END
            if self._take_wake(self._woken):
                return None
            if self._ready:
                return self._ready.popleft()
            if (batch := self._step(self._woken, deadline_s)) is not None:
                self._take(batch)
            elif self._clock() >= deadline_s:
                return None

    def wake(self) -> None:
        """See `source.Source.wake`."""
        with self._closing:
            if self._woken is not None:
                os.eventfd_write(self._woken, 1)

    def close(self) -> None:
        """See `source.Source.close`."""
        self._disconnect()
        with self._closing:
            if self._woken is not None:
                os.close(self._woken)
                self._woken = None

    def pause(self) -> None:
        """Disconnect until `resume`; what happens meanwhile is no gap, since nobody wants it."""
        self._resting = True
        self._gap_from_ns = 0
        self._disconnect()

    def resume(self) -> None:
        """Connect with the next read."""
        self._resting = False
        self._retry_at_s = 0.0

    def _take(self, batch: PayloadBatch) -> None:
        """Make a batch ready; what was not looked at for a while is told before it."""
        now_s = self._clock()
        context: Context = {}
        if now_s >= self._clock_due_s:
            self._clock_due_s = now_s + CLOCK_INTERVAL_S
            context["boot_offset_ns"] = boot_offset_ns()
        if self._links is not None and now_s >= self._links_due_s:
            self._links_due_s = now_s + LINKS_INTERVAL_S
            if links := self._links.changes():
                context["links"] = links
        if context:
            self._ready.append(context)
        self._ready.append(batch)

    @staticmethod
    def _take_wake(woken: int) -> bool:
        try:
            os.eventfd_read(woken)
        except BlockingIOError:
            return False
        return True

    def _step(self, woken: int, deadline_s: float) -> PayloadBatch | None:
        """Do what is due, or wait for it, a wake-up or the deadline."""
        now_s = self._clock()
        if self._resting:
            self._wait(woken, None, deadline_s - now_s)
        elif self._connection is None:
            if now_s >= self._retry_at_s:
                return self._connect()
            self._wait(woken, None, min(deadline_s, self._retry_at_s) - now_s)
        elif now_s < self._receive_at_s:
            self._wait(woken, None, min(deadline_s, self._receive_at_s) - now_s)
        elif self._wait(woken, self._connection, deadline_s - now_s):
            return self._receive(self._connection)
        return None

    @staticmethod
    def _wait(woken: int, connection: socket.socket | None, wait_s: float) -> bool:
        """Wait; True if the connection has something to say."""
        poll = select.poll()
        poll.register(woken, select.POLLIN)
        if connection is not None:
            poll.register(connection, select.POLLIN)
        # Rounded up, or the last millisecond would be spent turning round.
        wait_ms = None if wait_s == float("inf") else max(0, int(wait_s * 1000) + 1)
        return any(descriptor != woken for descriptor, _ in poll.poll(wait_ms))

    def _connect(self) -> PayloadBatch | None:
        """Try to connect; a gap that ends with that is told at once."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            connection.connect(os.fspath(self._path))
        except OSError as error:
            connection.close()
            self._complain(f"{error.strerror or error}")
            return None
        self._connection = connection
        self._decoder = PayloadDecoder()
        self._receive_at_s = 0.0
        self._complained = False
        self._links = LinkNames() if shares_network(connection) else None
        self._links_due_s = float("-inf")
        log.info("connected to a monitor socket", path=str(self._path))
        if not self._gap_from_ns:
            return None
        gap = Loss(LossKind.SOURCE_GAP, 0, 1, first_ns=self._gap_from_ns)
        self._gap_from_ns = 0
        return _batch([], (gap,))

    def _complain(self, why: str) -> None:
        """Say once per outage that there is no connection, and set the time to try again."""
        if not self._complained:
            self._complained = True
            log.warning("no monitor socket, trying again", path=str(self._path), why=why)
        self._retry_at_s = self._clock() + self._retry_s * random.uniform(0.5, 1)  # noqa: S311
        self._retry_s = min(2 * self._retry_s, self._retry_max_s)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _receive(self, connection: socket.socket) -> PayloadBatch | None:
        """What has arrived, as far as it is complete."""
        why = ""
        payloads: list[Payload] = []
        try:
            data = connection.recv(_RECEIVE_BYTES)
            payloads = self._decoder.feed(data)
            why = "" if data else "it was closed"
            if self._decoder.ended:
                why = "its stream ended within a message"
        except BlockingIOError:
            return None
        except OSError as error:
            why = error.strerror or str(error)
        except PayloadError as error:
            payloads = error.payloads
            why = f"its stream is damaged: {error}"
        if why:
            self._disconnect()
            self._gap_from_ns = time.time_ns()
            self.gaps += 1
            self._complain(why)
        if len(payloads) < FEW_EVENTS:
            # None too: a long message that trickles in is not to be looked at for every byte.
            self._receive_at_s = self._clock() + COALESCE_S
        if not payloads:
            return None
        if not why:
            self._retry_s = self._retry_min_s
        return self._batch_of(payloads)

    def _batch_of(self, payloads: list[Payload]) -> PayloadBatch | None:
        lost: Counter[int] = Counter()
        samples = []
        for payload in payloads:
            if payload.type == SAMPLE:
                samples.append(payload)
            elif payload.type == LOST:
                lost[_cpu(payload.cpu)] += payload.lost
            else:
                self.unknown += 1
        losses = tuple(
            Loss(LossKind.PERF_RING, cpu, min(events, _EVENTS_MAX))
            for cpu, events in sorted(lost.items())
            if events
        )
        return _batch(samples, losses) if samples or losses else None


def _cpu(number: int) -> int:
    """The number, or 0 where it can be none."""
    return number if 0 <= number <= _CPU_MAX else 0


def _batch(samples: list[Payload], losses: tuple[Loss, ...]) -> PayloadBatch:
    return PayloadBatch.of(
        [sample.data for sample in samples],
        received_ns=time.time_ns(),
        cpus=[_cpu(sample.cpu) for sample in samples],
        losses=losses,
    )
