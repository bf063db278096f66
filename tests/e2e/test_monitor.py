"""Raw events to monitor clients: all of them to those who read, a count to those who do not."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from palomar_bpf.payload import MessageType
from palomar_proto.monitor.payload import LOST, PayloadDecoder

from .conftest import BIN, Palomard, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from palomar_bpf.testbed import Testbed

pytestmark = pytest.mark.live

RATE, DURATION_S = 8_000, 2.0
"""Of the flood; each datagram passes two interfaces."""
NOISE = 32
"""Events that the pods' kernels may cause beside it, such as neighbour discovery."""
PROMPT_S = 3.0
"""By when after the flood whoever reads has all of it."""


class MonitorClient:
    """A client that reads on a thread of its own, while it is let."""

    def __init__(self, daemon: Palomard, *, reading: bool) -> None:
        self.samples = 0
        self.lost = 0
        self._reading = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(daemon.socket.with_name("monitor.sock")))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        if reading:
            self.go_on()

    @property
    def told(self) -> int:
        """Events it has, or knows to have missed."""
        return self.samples + self.lost

    def go_on(self) -> None:
        self._reading.set()

    def _read(self) -> None:
        decoder = PayloadDecoder()
        self._reading.wait()
        while data := self._socket.recv(1 << 18):
            for payload in decoder.feed(data):
                if payload.type == LOST:
                    self.lost += payload.lost
                else:
                    self.samples += 1

    def close(self) -> None:
        self.go_on()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


@pytest.fixture
def daemon(palomard: Callable[..., Palomard], testbed: Testbed) -> Palomard:
    return palomard(
        *("--interface", testbed.interface_glob, "--aggregation", "none", "--drops", "off"),
        *("--pages-per-cpu", "1024", "--monitor-queue-events", "2048"),
    )


@pytest.fixture
def clients(daemon: Palomard) -> Iterator[tuple[MonitorClient, MonitorClient]]:
    """One that reads, and one that does not."""
    made = MonitorClient(daemon, reading=True), MonitorClient(daemon, reading=False)
    eventually(lambda: "clients=2" in daemon.log.read_text())
    yield made
    for client in made:
        client.close()


def test_stalled_client_slows_neither_the_other_nor_the_observer(
    daemon: Palomard, testbed: Testbed, clients: tuple[MonitorClient, MonitorClient]
) -> None:
    web, client = testbed.pods
    reader, stalled = clients
    web.run("ip", "route", "add", "blackhole", f"{client.ipv4}/32")
    sent = int(client.traffic("flood", web.ipv4, "9", str(RATE), str(DURATION_S)))
    events = 2 * sent
    assert events > RATE

    deadline_s = time.monotonic() + PROMPT_S
    while reader.told < events:
        assert time.monotonic() < deadline_s, (reader.samples, reader.lost, events)
        time.sleep(0.01)
    assert reader.told <= events + NOISE
    responses = daemon.responses("--all")
    flows = sum("flow" in one for one in responses)
    lost = sum(
        int(one["lost_events"]["num_events_lost"]) for one in responses if "lost_events" in one
    )
    assert events <= flows + lost <= events + NOISE
    # What the kernel had no room for is all that either of them missed.
    assert reader.lost == lost

    assert stalled.told == 0
    stalled.go_on()
    eventually(lambda: stalled.told >= events)
    assert events <= stalled.told <= events + NOISE
    assert stalled.samples < events
    assert stalled.lost > reader.lost
    # It has caught up: nothing more is lost.
    before = stalled.lost
    assert client.traffic("ping", web.ipv6) == "ok"
    eventually(lambda: stalled.told >= events + 4)
    assert stalled.lost == before


def test_client_that_goes_away_in_a_flood_harms_nobody(daemon: Palomard, testbed: Testbed) -> None:
    web, client = testbed.pods
    leaving, staying = (MonitorClient(daemon, reading=True) for _ in range(2))
    try:
        eventually(lambda: "clients=2" in daemon.log.read_text())
        assert client.traffic("ping", web.ipv4) == "ok"
        eventually(lambda: leaving.samples >= 4)
    finally:
        leaving.close()
    try:
        before = staying.samples
        assert client.traffic("ping", web.ipv4) == "ok"
        eventually(lambda: staying.samples >= before + 4)
        eventually(lambda: "clients=1" in daemon.log.read_text())
    finally:
        staying.close()


def test_palomar_monitor_shows_a_ping(daemon: Palomard, testbed: Testbed) -> None:
    web, client = testbed.pods
    path = daemon.socket.with_name("monitor.sock")
    monitor = subprocess.Popen(
        [str(BIN / "palomar"), "monitor", "--socket", str(path), "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    with monitor:
        assert monitor.stdout is not None
        eventually(lambda: "clients=1" in daemon.log.read_text())
        assert client.traffic("ping", web.ipv4) == "ok"
        line = monitor.stdout.readline()
        monitor.terminate()
    assert MessageType.TRACE.name.lower() in line
