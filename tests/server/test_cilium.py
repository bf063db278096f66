from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from palomar_bpf.batch import Loss, LossKind, PayloadBatch
from palomar_proto.monitor.payload import LOST, OPENING, SAMPLE, Payload, encode
from palomar_server.cilium import CiliumSource
from palomar_server.monitor_socket import MonitorServer
from palomar_server.source import CLOCK_INTERVAL_S, END, Pausable, Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_S = 10


class FakeAgent:
    """A monitor socket that sends what a test says."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(WAIT_S)
        self._connections: list[socket.socket] = []

    def accept(self) -> socket.socket:
        connection, _ = self._listener.accept()
        connection.settimeout(WAIT_S)
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        for one in (*self._connections, self._listener):
            one.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monitor1_2.sock"


@pytest.fixture
def agent(path: Path) -> Iterator[FakeAgent]:
    agent = FakeAgent(path)
    yield agent
    agent.close()


@pytest.fixture
def source(path: Path) -> Iterator[CiliumSource]:
    source = CiliumSource(path, retry_min_s=0.002, retry_max_s=0.01)
    yield source
    source.close()


def sample(data: bytes, cpu: int = 0) -> bytes:
    return encode(Payload(data, cpu, 0, SAMPLE))


def read_batch(source: CiliumSource) -> PayloadBatch:
    """The next batch; the clock may be told before it."""
    item = source.read(WAIT_S)
    if isinstance(item, dict):
        item = source.read(WAIT_S)
    assert isinstance(item, PayloadBatch)
    return item


def connected(source: CiliumSource, agent: FakeAgent) -> socket.socket:
    source.read(0)
    assert source.connected
    connection = agent.accept()
    connection.sendall(OPENING)
    return connection


def drain(source: CiliumSource) -> None:
    """Take in the opening, or closing would look like a reset to the agent."""
    assert source.read(0.01) is None


def test_it_is_a_source_that_can_rest(source: CiliumSource) -> None:
    source_of_agent: Source = source
    assert isinstance(source_of_agent, Pausable)


def test_what_came_together_is_one_batch(source: CiliumSource, agent: FakeAgent) -> None:
    connected(source, agent).sendall(
        sample(b"\x04one", 3) + sample(b"") + sample(b"\x01two", 70_000)
    )
    before_ns = time.time_ns()
    batch = read_batch(source)
    assert [batch.payload(index) for index in range(3)] == [b"\x04one", b"", b"\x01two"]
    # A number that can be no CPU becomes 0.
    assert batch.cpus.tolist() == [3, 0, 0]
    assert before_ns <= batch.received_ns <= time.time_ns()
    assert not batch.losses


def test_message_in_parts_is_put_together(source: CiliumSource, agent: FakeAgent) -> None:
    connection = connected(source, agent)
    message = sample(bytes(300))
    connection.sendall(message[:100])
    assert source.read(0.01) is None
    connection.sendall(message[100:])
    assert read_batch(source).lengths.tolist() == [300]


def test_losses_are_those_of_the_perf_ring_by_cpu(source: CiliumSource, agent: FakeAgent) -> None:
    notices = [(5, 40), (1, 7), (5, 2), (2, 0), (9, 2**64 - 1)]
    connection = connected(source, agent)
    connection.sendall(b"".join(encode(Payload(b"", cpu, n, LOST)) for cpu, n in notices))
    batch = read_batch(source)
    assert len(batch) == 0
    assert batch.losses == (
        Loss(LossKind.PERF_RING, 1, 7),
        Loss(LossKind.PERF_RING, 5, 42),
        Loss(LossKind.PERF_RING, 9, 2**63 - 1),
    )


def test_payload_of_an_unknown_type_is_counted(source: CiliumSource, agent: FakeAgent) -> None:
    connection = connected(source, agent)
    connection.sendall(encode(Payload(b"new", 0, 0, 17)) + sample(b"\x04"))
    assert len(read_batch(source)) == 1
    assert source.unknown == 1


def test_context_comes_first(path: Path) -> None:
    source = CiliumSource(path, context=[{"node_name": "default/n1"}])
    assert source.read(0) == {"node_name": "default/n1"}
    assert source.read(0) is None
    source.close()


def test_clock_is_told_before_events_that_carry_kernel_time(path: Path, agent: FakeAgent) -> None:
    now_s = 0.0
    source = CiliumSource(path, clock=lambda: now_s)
    connection = connected(source, agent)

    def read(at_s: float) -> list[str]:
        """What is given for one sample, and then nothing."""
        nonlocal now_s
        now_s = at_s
        connection.sendall(sample(b"\x04"))
        given: list[str] = []
        while not given or given[-1] != "batch":
            item = source.read(WAIT_S)
            if isinstance(item, dict):
                wall_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + item["boot_offset_ns"]
                assert abs(time.time_ns() - wall_ns) < 10**9
                given += [key for key in item if key != "links"]
            elif isinstance(item, PayloadBatch):
                given.append("batch")
        return given

    assert read(0.1) == ["boot_offset_ns", "batch"]
    assert read(1) == ["batch"]
    assert read(1 + CLOCK_INTERVAL_S) == ["boot_offset_ns", "batch"]
    source.close()


def test_missing_socket_is_waited_for(
    source: CiliumSource, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(5):
        assert source.read(0.005) is None
    agent = FakeAgent(path)
    while not source.connected:
        assert source.read(0.01) is None
    connection = agent.accept()
    connection.sendall(OPENING + sample(b"\x04"))
    batch = read_batch(source)
    assert len(batch) == 1
    # It was never connected before: nothing is known to be missing.
    assert not batch.losses
    agent.close()
    # One outage is told once.
    assert capsys.readouterr().out.count("no monitor socket") == 1


@pytest.mark.parametrize("damage", [b"", b"GET / HTTP/1.1\r\n\r\n\x00\x00\x00", b"\xf0", b"\x00"])
def test_cut_or_damaged_stream_is_a_gap(
    source: CiliumSource, agent: FakeAgent, damage: bytes
) -> None:
    connection = connected(source, agent)
    before_ns = time.time_ns()
    connection.sendall(sample(b"\x04last") + damage)
    connection.shutdown(socket.SHUT_RDWR)
    # What came before the damage is not lost.
    assert read_batch(source).payload(0) == b"\x04last"
    batch = read_batch(source)
    assert len(batch) == 0
    (gap,) = batch.losses
    assert (gap.kind, gap.events) == (LossKind.SOURCE_GAP, 1)
    assert before_ns <= gap.first_ns <= batch.received_ns
    again = agent.accept()
    again.sendall(OPENING + sample(b"\x04again"))
    assert read_batch(source).payload(0) == b"\x04again"
    assert source.gaps == 1


def test_pauses_between_attempts_grow_until_data_come(path: Path) -> None:
    now_s = 0.0
    source = CiliumSource(path, retry_min_s=1, retry_max_s=8, clock=lambda: now_s)
    attempts_s = []
    for tick in range(1000):
        now_s = tick / 10
        before_s = source._retry_at_s
        source.read(0)
        if source._retry_at_s != before_s:
            attempts_s.append(now_s)
    pauses_s = [after - before for before, after in itertools.pairwise(attempts_s)]
    for pause_s, longest_s in zip(pauses_s, (1, 2, 4, 8, 8, 8), strict=False):
        assert longest_s / 2 <= pause_s <= longest_s + 0.2
    source.close()


def test_agent_that_hangs_up_at_once_is_not_run_down(
    source: CiliumSource, agent: FakeAgent
) -> None:
    connected(source, agent).close()
    source.read(0.05)
    assert source._retry_s > 0.002


def test_wake_ends_the_read_under_way_or_the_next(source: CiliumSource, agent: FakeAgent) -> None:
    source.wake()
    assert source.read(None) is None
    connected(source, agent)
    reading = threading.Thread(target=source.read)
    reading.start()
    source.wake()
    reading.join(WAIT_S)
    assert not reading.is_alive()


def test_closed_source_has_ended(source: CiliumSource, agent: FakeAgent) -> None:
    connection = connected(source, agent)
    drain(source)
    source.close()
    assert source.read(None) is END
    assert source.read(0) is END
    source.wake()
    source.close()
    assert connection.recv(1) == b""


def test_resting_source_is_disconnected_and_misses_nothing(
    source: CiliumSource, agent: FakeAgent
) -> None:
    connection = connected(source, agent)
    drain(source)
    source.pause()
    assert connection.recv(1) == b""
    assert source.read(0.005) is None
    assert not source.connected
    source.resume()
    connected(source, agent).sendall(sample(b"\x04"))
    batch = read_batch(source)
    assert len(batch) == 1
    assert not batch.losses


def test_trickle_is_gathered(source: CiliumSource, agent: FakeAgent) -> None:
    connection = connected(source, agent)

    def trickle() -> None:
        for _ in range(500):
            connection.sendall(sample(b"\x04" * 100))

    sender = threading.Thread(target=trickle)
    sender.start()
    batches: list[PayloadBatch] = []
    while sum(len(batch) for batch in batches) < 500:
        batches.append(read_batch(source))
    sender.join()
    assert len(batches) < 100


def test_own_server_is_understood(source: CiliumSource, path: Path) -> None:
    server = MonitorServer(path)
    server.start()
    while server.clients == 0:
        source.read(0.01)
    losses = (Loss(LossKind.RATE_LIMIT, 2, 3),)
    sent = PayloadBatch.of([b"\x04a", b"\x01b"], received_ns=1, cpus=[1, 2], losses=losses)
    server.on_batch(sent)
    samples: list[tuple[bytes, int]] = []
    told: list[Loss] = []
    while len(samples) < 2:
        batch = read_batch(source)
        samples += [(batch.payload(n), int(batch.cpus[n])) for n in range(len(batch))]
        told += batch.losses
    assert samples == [(b"\x04a", 1), (b"\x01b", 2)]
    assert told == [Loss(LossKind.PERF_RING, 2, 3)]
    server.close()


def test_streams_of_go_are_understood(shared: Path, tmp_path: Path) -> None:
    with (shared / "conformance" / "monitor_socket.jsonl").open(encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines]
    for number, case in enumerate(cases):
        path = tmp_path / str(number)
        agent, source = FakeAgent(path), CiliumSource(path)
        source.read(0)
        connection = agent.accept()
        connection.sendall(bytes.fromhex(case["stream"]))
        connection.shutdown(socket.SHUT_RDWR)
        samples: list[str] = []
        lost = 0
        while (item := source.read(0)) is not None or source.connected:
            if isinstance(item, PayloadBatch):
                samples += [item.payload(index).hex() for index in range(len(item))]
                lost += sum(loss.events for loss in item.losses)
        assert samples == [one["data"] for one in case["payloads"] if one["type"] == 9], case[
            "name"
        ]
        told = sum(one["lost"] for one in case["payloads"] if one["type"] == 2)
        assert lost == min(told, 2**63 - 1), case["name"]
        source.close()
        agent.close()


def test_links_of_a_shared_namespace_get_their_names(path: Path, agent: FakeAgent) -> None:
    source = CiliumSource(path)
    connected(source, agent).sendall(sample(b"\x04"))
    context = source.read(WAIT_S)
    assert isinstance(context, dict)
    assert context["links"] == {str(index): name for index, name in socket.if_nameindex()}
    source.close()
