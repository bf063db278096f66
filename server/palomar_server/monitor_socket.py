"""The monitor socket: raw payloads to whoever connects, as a Cilium agent serves them.

In: payload batches from the agent, as one of its listeners. Out: protocol 1.2
(`palomar_proto.monitor.payload`) on a unix socket, to any number of clients up to a limit.

The agent's thread only puts a batch into a bounded inbox. A thread of this server's own encodes it,
once for all clients, into each client's bounded queue and sends; so neither the agent nor gRPC's
event loop waits for a client, and no client for another. What a queue had no room for is counted by
CPU, and the client is told as soon as it reads on.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import structlog

from palomar_server.monitor_client import MonitorClient, Room
from palomar_server.monitor_stream import StreamEncoder, loss_piece, told_losses
from palomar_server.unix_socket import UnixListener

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from palomar_bpf.batch import PayloadBatch

log = structlog.get_logger(__name__)

CLIENTS_MAX = 32
"""Clients at once, unless told otherwise: each may cost a full queue."""
QUEUE_BYTES_MAX = 8 << 20
"""Bytes that may wait for a client, unless told otherwise: 16,384 events of 512 bytes."""
_EVENTS_PER_CPU = 1024
_EVENTS_MAX = 16_384
_ACCEPTS_MAX = 16
"""Clients taken in at one turn."""
_ACCEPT_AGAIN_S = 1.0
"""Pause after accepting failed, as for want of file descriptors."""


def default_queue_events() -> int:
    """Cilium's rule for `monitor-queue-size`: 1024 for each CPU, at most 16,384."""
    return min((os.cpu_count() or 1) * _EVENTS_PER_CPU, _EVENTS_MAX)


class MonitorServer:
    """Serves from `start` to `close`.

    Args:
        path: of the socket.
        mode: its permissions: whoever may connect sees all traffic of the node.
        clients_max: further clients are turned away.
        queue_events: events that may wait for one client, and for encoding.
        queue_bytes: bytes of them, likewise.
        on_first_client: called when the first client has come; the moment to add this as a
            listener, since without clients batches mean nothing to it.
        on_last_client: called when the last has gone, also by `close`. Both run on the server's
            thread, in turns, and clients wait while they do.
    """

    def __init__(
        self,
        path: Path,
        *,
        mode: int = 0o600,
        clients_max: int = CLIENTS_MAX,
        queue_events: int | None = None,
        queue_bytes: int = QUEUE_BYTES_MAX,
        on_first_client: Callable[[], None] = lambda: None,
        on_last_client: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._mode = mode
        self._clients_max = clients_max
        self._limits = Room(queue_events or default_queue_events(), queue_bytes)
        self._on_first_client = on_first_client
        self._on_last_client = on_last_client
        self._inbox = _Inbox(self._limits)
        self._encoder = StreamEncoder()
        self._clients: dict[int, MonitorClient] = {}
        self._closing = False
        self._accept_again_s: float | None = None
        """When accepting is tried again, after it failed."""
        self._thread = threading.Thread(target=self._run, name="palomar-monitor", daemon=True)
        self._listener: UnixListener | None = None
        self._epoll: select.epoll | None = None
        self._lost_to_gone = 0
        self.refused = 0
        """Clients turned away."""

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    @property
    def events_lost(self) -> int:
        """Events not encoded in time, and events that clients which have gone did not get."""
        return self._lost_to_gone + self._inbox.events_lost

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: the path cannot be used; the text tells why.
        """
        self._listener = UnixListener(self._path, self._mode)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.socket, select.EPOLLIN)
        self._epoll.register(self._inbox.news, select.EPOLLIN)
        self._thread.start()

    def on_batch(self, batch: PayloadBatch) -> None:
        """Take a batch, for the agent's thread: costs the same for any batch and any clients."""
        if self._clients:
            self._inbox.put(batch)

    def close(self) -> None:
        """Cut all clients and remove the socket."""
        self._closing = True
        if self._thread.ident is not None:
            self._inbox.wake()
            self._thread.join()
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._inbox.close()

    def _run(self) -> None:
        assert self._epoll is not None  # noqa: S101 - `start` made them
        assert self._listener is not None  # noqa: S101
        try:
            while not self._closing:
                self._turn(self._listener.socket, self._epoll)
        except Exception:  # the thread's border; palomard observes on
            log.exception("the monitor socket failed")
        finally:
            # Nobody is left waiting for what cannot come any more.
            self._listener.close()
            for client in list(self._clients.values()):
                self._drop(client, self._epoll)

    def _turn(self, listener: socket.socket, epoll: select.epoll) -> None:
        """Wait for something to happen, and do what it asks for."""
        pausing = self._accept_again_s is not None
        ready = epoll.poll(_ACCEPT_AGAIN_S if pausing else None)
        if self._accept_again_s is not None and time.monotonic() >= self._accept_again_s:
            self._accept_again_s = None
            epoll.modify(listener, select.EPOLLIN)
        for descriptor, events in ready:
            if descriptor == listener.fileno():
                self._accept(listener, epoll)
            elif (client := self._clients.get(descriptor)) is not None:
                self._serve(client, epoll, gone=bool(events & ~select.EPOLLOUT))
        self._distribute(epoll)

    def _accept(self, listener: socket.socket, epoll: select.epoll) -> None:
        # Not for ever: others want their turn, and who still waits makes the next one begin.
        for _ in range(_ACCEPTS_MAX):
            try:
                connection, _address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("monitor clients cannot be accepted", error=str(error))
                self._accept_again_s = time.monotonic() + _ACCEPT_AGAIN_S
                epoll.modify(listener, 0)
                return
            connection.settimeout(0)
            if len(self._clients) >= self._clients_max:
                self.refused += 1
                log.warning("monitor client turned away", clients_max=self._clients_max)
                connection.close()
                continue
            # Without EPOLLIN: clients have nothing to say, and one that does costs nothing.
            # That the peer has gone is always told.
            epoll.register(connection, 0)
            self._clients[connection.fileno()] = MonitorClient(connection, self._limits)
            log.info("monitor client connected", clients=len(self._clients))
            if len(self._clients) == 1:
                _call(self._on_first_client)

    def _distribute(self, epoll: select.epoll) -> None:
        """Encode what has come, give it to all clients, and send what they take."""
        for lost, batch in self._inbox.take():
            if not self._clients:
                return
            pieces = [loss_piece(lost)] if lost else []
            pieces += self._encoder.pieces(batch) if batch is not None else ()
            for client in list(self._clients.values()):
                for piece in pieces:
                    client.offer(piece)
                if not client.waits_for_room:
                    self._serve(client, epoll, gone=False)

    def _serve(self, client: MonitorClient, epoll: select.epoll, *, gone: bool) -> None:
        """Send, and have epoll tell when there is room for what was left."""
        waited = client.waits_for_room
        if gone or not client.send():
            self._drop(client, epoll)
        elif client.waits_for_room != waited:
            epoll.modify(client.connection, select.EPOLLOUT if client.waits_for_room else 0)

    def _drop(self, client: MonitorClient, epoll: select.epoll) -> None:
        del self._clients[client.connection.fileno()]
        epoll.unregister(client.connection)
        client.connection.close()
        self._lost_to_gone += client.events_lost
        log.info("monitor client gone", clients=len(self._clients), lost=client.events_lost)
        if not self._clients:
            _call(self._on_last_client)


def _call(callback: Callable[[], None]) -> None:
    """The border to what others do when clients come and go: the socket serves on."""
    try:
        callback()
    except Exception:
        log.exception("a monitor client came or went, and that failed")


class _Inbox:
    """Batches on their way from the agent's thread to the server's."""

    def __init__(self, limits: Room) -> None:
        self._room = Room(limits.events_max, limits.bytes_max)
        self._lock = threading.Lock()
        self._batches: list[tuple[Counter[int], PayloadBatch | None]] = []
        self._lost: Counter[int] = Counter()
        """Since the last batch that fitted, by CPU."""
        self._told = False
        self._closed = False
        self.events_lost = 0
        """Events of all batches that did not fit."""
        self.news = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable when there is something to `take`."""

    def put(self, batch: PayloadBatch) -> None:
        """Add a batch, or if there is no room what it would have told."""
        with self._lock:
            if self._closed:
                return
            # The buffer counts, not the payloads: it is what is kept. Parts of one count each.
            size_bytes = batch.buffer.nbytes
            if self._room.fits(len(batch), size_bytes):
                self._room.take(len(batch), size_bytes)
                self._batches.append((self._lost, batch))
                self._lost = Counter()
            else:
                self.events_lost += len(batch)
                counts = np.bincount(batch.cpus)
                cpus = np.flatnonzero(counts)
                self._lost.update(dict(zip(cpus.tolist(), counts[cpus].tolist(), strict=True)))
                self._lost += told_losses(batch.losses)
            if not self._told:
                self._told = True
                os.eventfd_write(self.news, 1)

    def take(self) -> list[tuple[Counter[int], PayloadBatch | None]]:
        """Everything since the last call: what was lost, and the batch after that."""
        with self._lock:
            if not self._told:
                return []
            os.eventfd_read(self.news)
            batches, self._batches = self._batches, []
            if self._lost:
                batches.append((self._lost, None))
                self._lost = Counter()
            self._room = Room(self._room.events_max, self._room.bytes_max)
            self._told = False
            return batches

    def wake(self) -> None:
        """Make `news` readable."""
        with self._lock:
            if not self._closed:
                os.eventfd_write(self.news, 1)

    def close(self) -> None:
        """Take nothing any more, and give the descriptor back."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.news)
