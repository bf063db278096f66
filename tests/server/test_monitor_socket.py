from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from palomar_bpf.batch import Loss, LossKind, PayloadBatch
from palomar_proto.monitor.payload import (
    LOST,
    OPENING,
    SAMPLE,
    Payload,
    PayloadDecoder,
    encode,
)
from palomar_server.monitor_socket import MonitorServer, default_queue_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAIT_S = 10


class Client:
    """A monitor client that reads when it is told to."""

    opened: ClassVar[list[Client]] = []

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.opened.append(self)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(str(path))
        self.received = b""
        self.samples: list[Payload] = []
        self.lost: Counter[int] = Counter()
        self._decoder = PayloadDecoder()

    def read(self, events: int) -> None:
        """Read until so many events in total have come, or have been told as lost."""
        while len(self.samples) + self.lost.total() < events:
            data = self.socket.recv(1 << 16)
            assert data, "the server cut the connection"
            self.received += data
            for payload in self._decoder.feed(data):
                if payload.type == LOST:
                    self.lost[payload.cpu] += payload.lost
                else:
                    self.samples.append(payload)


def wait_until(condition: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < ends_s, "in vain"
        time.sleep(0.001)


def events(first: int, count: int, size_bytes: int = 8) -> PayloadBatch:
    """Payloads that carry their number, from CPUs 0 and 1 in turns."""
    numbers = range(first, first + count)
    return PayloadBatch.of(
        [number.to_bytes(size_bytes, "little") for number in numbers],
        received_ns=1,
        cpus=[number % 2 for number in numbers],
    )


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., MonitorServer]]:
    servers: list[MonitorServer] = []

    def start(**options: Any) -> MonitorServer:
        server = MonitorServer(tmp_path / "monitor.sock", **options)
        servers.append(server)
        server.start()
        return server

    yield start
    for client in Client.opened:
        client.socket.close()
    Client.opened.clear()
    for server in servers:
        server.close()


def connect(server: MonitorServer) -> Client:
    before = server.clients
    client = Client(server._path)
    wait_until(lambda: server.clients > before)
    return client


def test_stream_is_that_of_cilium(serve: Callable[..., MonitorServer]) -> None:
    server = serve()
    client = connect(server)
    losses = (Loss(LossKind.PERF_RING, 5, 42),)
    server.on_batch(PayloadBatch.of([b"\x04abc"], received_ns=1, cpus=[3], losses=losses))
    client.read(43)
    notice, sample = Payload(b"", 5, 42, LOST), Payload(b"\x04abc", 3, 0, SAMPLE)
    assert client.received == OPENING + encode(notice) + encode(sample)


def test_client_gets_what_happens_from_its_coming_on(serve: Callable[..., MonitorServer]) -> None:
    server = serve()
    server.on_batch(events(0, 10))
    early = connect(server)
    server.on_batch(events(10, 10))
    early.read(10)
    late = connect(server)
    server.on_batch(events(20, 10))
    early.read(20)
    late.read(10)
    assert [sample.data[0] for sample in early.samples] == list(range(10, 30))
    assert [sample.data[0] for sample in late.samples] == list(range(20, 30))
    assert late.received.startswith(OPENING)


def test_stalled_client_harms_nobody_and_is_told_its_losses(
    serve: Callable[..., MonitorServer],
) -> None:
    server = serve(queue_events=100)
    quick, stalled = connect(server), connect(server)
    total = 4_000
    for first in range(0, total, 10):
        server.on_batch(events(first, 10, 1000))
        quick.read(first + 10)
    assert not quick.lost
    assert len(quick.samples) == total
    stalled.read(total)
    assert 0 < len(stalled.samples) < total
    # Each event came or was told, by the CPU it was from, and in order.
    came = Counter(sample.cpu for sample in stalled.samples)
    assert came + stalled.lost == Counter({0: total // 2, 1: total // 2})
    numbers = [int.from_bytes(sample.data, "little") for sample in stalled.samples]
    assert numbers == sorted(numbers)
    # And it gets what comes now.
    server.on_batch(events(total, 10))
    stalled.read(total + 10)
    assert stalled.samples[-1].data == (total + 9).to_bytes(8, "little")


def test_bytes_that_wait_are_bounded_too(serve: Callable[..., MonitorServer]) -> None:
    server = serve(queue_bytes=50_000)
    quick, stalled = connect(server), connect(server)
    for first in range(0, 1000, 10):
        server.on_batch(events(first, 10, 1000))
        quick.read(first + 10)
    (waiting,) = [one for one in server._clients.values() if one.waits_for_room]
    assert sum(len(piece.data) for piece in waiting._queue) <= 50_000
    stalled.read(1000)
    assert stalled.lost.total() > 500


def test_batches_that_nobody_takes_are_dropped_and_told(
    serve: Callable[..., MonitorServer],
) -> None:
    go_on = threading.Event()
    server = serve(queue_events=100, on_first_client=go_on.wait)
    client = connect(server)
    for first in range(0, 1000, 10):
        server.on_batch(events(first, 10))
    go_on.set()
    client.read(1000)
    assert [sample.data[0] for sample in client.samples] == list(range(100))
    assert client.lost == Counter({0: 450, 1: 450})
    assert server.events_lost == 900


def test_batch_larger_than_the_queue_is_sent_as_far_as_it_fits(
    serve: Callable[..., MonitorServer],
) -> None:
    server = serve(queue_events=1)
    client = connect(server)
    server.on_batch(events(0, 2000, 100))
    client.read(2000)
    assert len(client.samples) >= 256


def test_listening_begins_with_the_first_client_and_ends_with_the_last(
    serve: Callable[..., MonitorServer],
) -> None:
    told: list[str] = []
    server = serve(
        on_first_client=lambda: told.append("first"), on_last_client=lambda: told.append("last")
    )
    one, other = connect(server), connect(server)
    one.socket.close()
    wait_until(lambda: server.clients == 1)
    assert told == ["first"]
    other.socket.close()
    wait_until(lambda: told == ["first", "last"])
    connect(server)
    server.close()
    assert told == ["first", "last", "first", "last"]


def test_callback_that_fails_is_survived(serve: Callable[..., MonitorServer]) -> None:
    def fail() -> None:
        raise RuntimeError("no capture today")

    server = serve(on_first_client=fail)
    client = connect(server)
    server.on_batch(events(0, 1))
    client.read(1)


def test_client_that_only_closed_its_sending_side_is_served(
    serve: Callable[..., MonitorServer],
) -> None:
    server = serve()
    client = connect(server)
    client.socket.shutdown(socket.SHUT_WR)
    server.on_batch(events(0, 3))
    client.read(3)


def test_client_that_talks_is_served(serve: Callable[..., MonitorServer]) -> None:
    server = serve()
    client = connect(server)
    client.socket.send(b"GET / HTTP/1.1\r\n\r\n")
    server.on_batch(events(0, 3))
    client.read(3)


def test_clients_beyond_the_limit_are_turned_away(serve: Callable[..., MonitorServer]) -> None:
    server = serve(clients_max=1)
    first = connect(server)
    assert Client(server._path).socket.recv(1) == b""
    assert server.refused == 1
    first.socket.close()
    wait_until(lambda: server.clients == 0)
    connect(server)


def test_close_ends_streams_and_frees_the_path(serve: Callable[..., MonitorServer]) -> None:
    server = serve()
    client = connect(server)
    server.close()
    assert client.socket.recv(1) == b""
    assert not server._path.exists()
    server.close()
    server.on_batch(events(0, 1))
    serve()


def test_close_before_start_is_nothing(tmp_path: Path) -> None:
    MonitorServer(tmp_path / "s").close()


def test_default_queue_is_cilium_s_rule() -> None:
    assert 1024 <= default_queue_events() <= 16_384
