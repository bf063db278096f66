"""Packets on demand: what pods send is what is in the files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from palomar_bpf.testbed import COMMAND_TIMEOUT_S, Testbed
from palomar_proto.palomar.v1 import recordings_pb2 as api
from palomar_proto.palomar.v1.recordings_pb2_grpc import RecordingsStub
from palomar_proto.recorder import recorder_pb2
from palomar_proto.recorder.recorder_pb2_grpc import RecorderStub

from .capture_file import TCP, UDP, Captured, read_capture, wireshark
from .conftest import BIN, DEADLINE_S, Palomard, eventually
from .tc_programs import programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from palomar_bpf.testbed import Pod

pytestmark = pytest.mark.live

OPEN_PORT, CLOSED_PORT, DROPPED_PORT = 80, 81, 8080
STREAM_PORT = 9000
STREAM_BYTES = 100_000_000
PACING_BYTES_PER_S = 200_000_000
RUNNING = api.RECORDING_STATUS_RUNNING

RECEIVE = """
import hashlib, socket, sys
with socket.create_server(("", int(sys.argv[1]))) as server:
    print("ready", flush=True)
    connection, _ = server.accept()
    digest = hashlib.sha256()
    while data := connection.recv(1 << 20):
        digest.update(data)
    print(digest.hexdigest(), flush=True)
"""
SEND = """
import random, socket, sys
SO_MAX_PACING_RATE = 47
data = random.Random(1).randbytes(1 << 20)
left = int(sys.argv[3])
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, int(sys.argv[4]))
    while left:
        piece = data[:left]
        connection.sendall(piece)
        left -= len(piece)
"""
DATAGRAMS = """
import socket, sys
host, port, count, size = sys.argv[1], *map(int, sys.argv[2:])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for number in range(count):
        sock.sendto(number.to_bytes(4, "big") + bytes(size - 4), (host, port))
"""


class Recordings:
    """A palomard that records, and its API."""

    def __init__(self, daemon: Palomard) -> None:
        self.daemon = daemon
        self.channel = grpc.insecure_channel(f"unix:{daemon.socket}")
        self.stub = RecordingsStub(self.channel)  # type: ignore[no-untyped-call, unused-ignore]

    def start(self, **fields: Any) -> str:
        return str(self.stub.Start(api.StartRequest(**fields), timeout=DEADLINE_S).id)

    def get(self, recording: str) -> api.Recording:
        return self.stub.Get(api.GetRequest(id=recording), timeout=DEADLINE_S)

    def stop(self, recording: str) -> api.Recording:
        return self.stub.Stop(api.StopRequest(id=recording), timeout=DEADLINE_S)

    def ended(self, recording: str) -> api.Recording:
        """The recording once it has ended by itself."""
        for one in self.stub.Watch(api.WatchRequest(id=recording), timeout=DEADLINE_S):
            last = one
        assert last.end, last
        return last

    def only(self) -> api.Recording | None:
        """The one recording, if it is running."""
        found = self.stub.List(api.ListRequest(), timeout=DEADLINE_S).recordings
        return found[0] if found and found[0].status == RUNNING else None

    def packets(self, recording: str, tmp_path: Path) -> list[Captured]:
        """What is in its file."""
        path = tmp_path / "downloaded"
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for response in self.stub.Download(api.DownloadRequest(id=recording), timeout=60):
                if response.HasField("recording"):
                    told = response.recording
                else:
                    digest.update(response.chunk.data)
                    file.write(response.chunk.data)
        assert told.sha256 == digest.hexdigest()
        assert told.file_bytes == path.stat().st_size
        wireshark("capinfos", str(path))
        return read_capture(path)


@pytest.fixture(scope="module")
def pods(live: None) -> Iterator[Testbed]:
    """Two pods for all tests of this module."""
    with Testbed((f"plm-rec-web-{os.getpid()}", f"plm-rec-client-{os.getpid()}")) as testbed:
        testbed.pods[0].drop_port(DROPPED_PORT)
        yield testbed


@pytest.fixture
def web(pods: Testbed) -> Pod:
    return pods.pods[0]


@pytest.fixture
def client(pods: Testbed) -> Pod:
    return pods.pods[1]


def settings(pods: Testbed, folder: Path) -> tuple[str, ...]:
    return (
        *("--interface", pods.interface_glob, "--drops", "watched"),
        *("--recordings-directory", str(folder / "recordings")),
        *("--database-url", f"sqlite+aiosqlite:///{folder}/palomar.db"),
    )


@pytest.fixture(scope="module")
def recordings(pods: Testbed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recordings]:
    """One palomard for all tests that need no other."""
    folder = tmp_path_factory.mktemp("recorder")
    # Room for a busy machine: a third of a second of the stream at its pace.
    arguments = (*settings(pods, folder), "--record-pages-per-cpu", "16384")
    daemon = Palomard(folder / "palomar.sock", arguments, folder / "log")
    daemon.start()
    try:
        found = Recordings(daemon)
        yield found
        found.channel.close()
    finally:
        daemon.stop()


@pytest.fixture
def recorder(
    palomard: Callable[..., Palomard], pods: Testbed, tmp_path: Path
) -> Iterator[Callable[..., Recordings]]:
    """Starts a palomard of the test's own, each time with the same files."""
    started: list[Recordings] = []

    def start(*arguments: str) -> Recordings:
        started.append(Recordings(palomard(*settings(pods, tmp_path), *arguments)))
        return started[-1]

    yield start
    for one in started:
        one.channel.close()


def send(source: Pod, host: str, port: int, count: int, size: int = 100) -> None:
    """Send so many datagrams that nobody answers; their payloads begin with their number."""
    arguments = (host, str(port), str(count), str(size))
    source.run(sys.executable, "-c", DATAGRAMS, *arguments)


def numbers(packets: list[Captured], port: int) -> list[int]:
    """The numbers of the datagrams to a port."""
    return [
        int.from_bytes(packet.transport[1][8:12], "big")
        for packet in packets
        if packet.transport[0] == UDP and packet.ports[1] == port
    ]


def at(pod: Pod, **fields: Any) -> dict[str, Any]:
    """A filter of what goes by at the pod's own interface."""
    return {"filter": {"whitelist": [{"interface": [{"name": pod.interface}], **fields}]}}


@contextlib.contextmanager
def running(daemon: Palomard, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `palomar record` until the end of the context."""
    command = [str(BIN / "palomar"), "record", *arguments, "--server", f"unix:{daemon.socket}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def test_pod_and_verdict_drop_give_exactly_the_dropped_packets(
    recordings: Recordings, web: Pod, client: Pod, tmp_path: Path
) -> None:
    file = tmp_path / "drops.pcapng"
    filters = ("--pod", web.name, "--verdict", "drop")
    with web.serve(OPEN_PORT), running(recordings.daemon, *filters, "-w", str(file)) as process:
        since = eventually(recordings.only).started.ToJsonString()
        assert client.traffic("connect", web.ipv4, str(OPEN_PORT)) == "ok"
        assert client.traffic("connect", web.ipv4, str(CLOSED_PORT)) == "refused"
        assert client.traffic("connect", web.ipv4, str(DROPPED_PORT)) == "timeout"
        assert client.traffic("connect", web.ipv6, str(DROPPED_PORT)) == "timeout"
        assert client.traffic("udp", web.ipv4, str(DROPPED_PORT)) == "timeout"
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, errors
    flows = recordings.daemon.flows("--since", since, *filters)
    seen = Counter(
        int(next(iter(flow["l4"].values()))["destination_port"]) for flow in flows if "l4" in flow
    )
    packets = read_capture(file)
    assert Counter(packet.ports[1] for packet in packets) == seen
    to_port = [packet for packet in packets if packet.ports[1] == DROPPED_PORT]
    assert len(to_port) >= 3
    assert {packet.transport[0] for packet in to_port} == {TCP, UDP}
    assert all("NETFILTER_DROP" in packet.comment for packet in to_port)
    assert all(web.name in packet.comment for packet in to_port)
    comments = wireshark("tshark", "-r", str(file), "-T", "fields", "-e", "frame.comment")
    assert "NETFILTER_DROP" in comments
    assert f"{len(packets)} packets".encode() in told


def test_stream_of_100_mb_is_in_the_file_byte_for_byte(
    recordings: Recordings, web: Pod, client: Pod, tmp_path: Path
) -> None:
    recording = recordings.start(
        format=api.RECORDING_FORMAT_PCAP, **at(web, destination_port=[str(STREAM_PORT)])
    )
    receive = web.command(sys.executable, "-c", RECEIVE, str(STREAM_PORT))
    with subprocess.Popen(receive, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        pace = (str(STREAM_BYTES), str(PACING_BYTES_PER_S))
        client.run(sys.executable, "-c", SEND, web.ipv4, str(STREAM_PORT), *pace)
        digest = receiver.stdout.readline().strip()
    told = recordings.stop(recording)
    assert told.end == api.RECORDING_END_STOPPED
    assert told.counts.captured == told.counts.written
    assert told.counts.lost_perf_ring.packets == 0
    stream = reassembled(recordings.packets(recording, tmp_path))
    assert len(stream) == STREAM_BYTES
    assert hashlib.sha256(stream).hexdigest() == digest


def reassembled(packets: list[Captured]) -> bytearray:
    """What was sent to the port of the stream, put together by sequence numbers."""
    stream = bytearray()
    first = 0
    for packet in packets:
        _, segment = packet.transport
        if packet.ports[1] != STREAM_PORT:
            continue
        assert len(packet.data) == packet.original_bytes
        sequence = int.from_bytes(segment[4:8], "big")
        payload = segment[4 * (segment[12] >> 4) :]
        if segment[13] & 0x02:
            first = sequence + 1
        at_byte = (sequence - first) % (1 << 32)
        if payload:
            assert at_byte <= len(stream), "there is a gap"
            stream[at_byte : at_byte + len(payload)] = payload
    return stream


def test_stop_conditions_are_exact_to_the_packet(
    recordings: Recordings, web: Pod, client: Pod, tmp_path: Path
) -> None:
    one_way = at(web, destination_port=["7001"], source_pod=[f"default/{client.name}"])
    one_way["filter"]["one_way"] = True
    frame_bytes = 14 + 20 + 8 + 100
    by_packets = recordings.start(stop={"packets": 7}, **one_way)
    by_bytes = recordings.start(stop={"bytes": 10 * frame_bytes}, **one_way)
    overshoot = recordings.start(stop={"bytes": 10 * frame_bytes + 1, "packets": 12}, **one_way)
    cut = recordings.start(stop={"packets": 5}, snaplen_bytes=60, **one_way)
    timed = recordings.start(stop={"duration": {"seconds": 2}}, **one_way)
    send(client, web.ipv4, 7001, 30)
    ends = {
        by_packets: (api.RECORDING_END_PACKETS, 7),
        by_bytes: (api.RECORDING_END_BYTES, 10),
        overshoot: (api.RECORDING_END_BYTES, 11),
        cut: (api.RECORDING_END_PACKETS, 5),
        timed: (api.RECORDING_END_DURATION, 30),
    }
    for recording, (end, count) in ends.items():
        told = recordings.ended(recording)
        assert (told.end, told.counts.written.packets) == (end, count)
        assert told.status == api.RECORDING_STATUS_COMPLETE
        packets = recordings.packets(recording, tmp_path)
        assert numbers(packets, 7001) == list(range(count))
        assert len(packets) == count
    told = recordings.get(timed)
    took_s = told.ended.ToNanoseconds() - told.started.ToNanoseconds()
    assert took_s >= 2_000_000_000
    send(client, web.ipv4, 7001, 5)
    assert recordings.get(timed).counts.written.packets == 30
    assert {len(packet.data) for packet in recordings.packets(cut, tmp_path)} == {60}


def test_sixteen_recordings_at_once_have_each_exactly_their_packets(
    recordings: Recordings, web: Pod, client: Pod, tmp_path: Path
) -> None:
    ports = range(7100, 7116)
    started = {
        port: recordings.start(
            format=api.RECORDING_FORMAT_PCAP if port % 2 else api.RECORDING_FORMAT_PCAPNG,
            **at(web, destination_port=[str(port)], protocol=["udp"]),
        )
        for port in ports
    }
    with pytest.raises(grpc.RpcError) as refused:
        recordings.start()
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    for port in ports:
        send(client, web.ipv4, port, port - 7090)
    for port, recording in started.items():
        told = recordings.stop(recording)
        assert told.counts.lost_perf_ring.packets == 0
        packets = recordings.packets(recording, tmp_path)
        assert numbers(packets, port) == list(range(port - 7090))
        assert len(packets) == port - 7090


def test_recording_of_a_killed_palomard_is_interrupted_and_readable(
    recorder: Callable[..., Recordings],
    web: Pod,
    client: Pod,
    tmp_path: Path,
) -> None:
    recordings = recorder()
    recording = recordings.start(name="cut-short", **at(web, destination_port=["7200"]))
    send(client, web.ipv4, 7200, 500)
    eventually(lambda: recordings.get(recording).counts.written.packets >= 500)
    recordings.daemon.stop(signal.SIGKILL)
    [partial] = (tmp_path / "recordings").glob("*.partial")
    assert partial.stat().st_mode & 0o777 == 0o600
    again = recorder()
    told = again.get(recording)
    assert told.status == api.RECORDING_STATUS_INTERRUPTED
    assert told.end == api.RECORDING_END_INTERRUPTED
    assert numbers(again.packets(recording, tmp_path), 7200) == list(range(500))
    assert list((tmp_path / "recordings").glob("*.partial")) == []
    again.stub.Delete(api.DeleteRequest(id=recording), timeout=DEADLINE_S)
    assert [path for path in (tmp_path / "recordings").iterdir() if "cut-short" in path.name] == []


def test_full_disk_ends_the_recording_with_a_readable_file(
    recorder: Callable[..., Recordings], web: Pod, client: Pod, tmp_path: Path
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir(mode=0o700)
    mount = ("mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(folder))
    subprocess.run(mount, check=True, timeout=COMMAND_TIMEOUT_S)
    try:
        recordings = recorder("--recordings-free-min-bytes", "0")
        recording = recordings.start(**at(web, destination_port=["7300"]))
        send(client, web.ipv4, 7300, 600, size=1000)
        told = recordings.ended(recording)
        assert told.status == api.RECORDING_STATUS_FAILED
        assert told.end == api.RECORDING_END_DISK_FULL
        assert told.message
        written = told.counts.written.packets
        assert 150 < written < 600
        assert numbers(recordings.packets(recording, tmp_path), 7300) == list(range(written))
        [beside] = folder.glob("*.json")
        facts = json.loads(beside.read_text())
        assert facts["end"] == "RECORDING_END_DISK_FULL"
        assert facts["counts"]["written"]["packets"] == str(written)
        # The daemon goes on.
        assert recordings.daemon.flows("--all", "--port", "7300")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=COMMAND_TIMEOUT_S)


def test_stream_goes_into_tshark_while_it_is_recorded(
    recordings: Recordings, web: Pod, client: Pod
) -> None:
    with (
        running(recordings.daemon, "--pod", web.name, "--protocol", "udp", "-w", "-") as process,
        subprocess.Popen(
            ["tshark", "-l", "-r", "-", "-T", "fields", "-e", "udp.dstport"],
            stdin=process.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as tshark,
    ):
        try:
            assert tshark.stdout is not None
            eventually(recordings.only)
            send(client, web.ipv4, 7400, 3)
            # At the ends of both pods.
            assert [tshark.stdout.readline().strip() for _ in range(6)] == ["7400"] * 6
            process.send_signal(signal.SIGINT)
            assert process.wait(DEADLINE_S) == 0
            assert tshark.wait(DEADLINE_S) == 0
        finally:
            # Else tshark would wait for it, and this for tshark.
            process.kill()


def test_trigger_gives_what_came_before_the_first_drop_too(
    recordings: Recordings, web: Pod, client: Pod, tmp_path: Path
) -> None:
    pod = [{"source_pod": [f"default/{web.name}"]}, {"destination_pod": [f"default/{web.name}"]}]
    recording = recordings.start(
        filter={"whitelist": pod},
        trigger={
            "filters": [{**one, "verdict": ["DROPPED"]} for one in pod],
            "before": {"seconds": 5},
        },
    )
    assert recordings.get(recording).status == api.RECORDING_STATUS_ARMED
    with web.serve(OPEN_PORT):
        assert client.traffic("udp", web.ipv4, str(OPEN_PORT)) == "ok"
    assert recordings.get(recording).counts.written.packets == 0
    assert client.traffic("udp", web.ipv4, str(DROPPED_PORT)) == "timeout"
    eventually(lambda: recordings.get(recording).status == RUNNING)
    told = recordings.stop(recording)
    assert told.HasField("triggered")
    packets = recordings.packets(recording, tmp_path)
    ports = [packet.ports[1] for packet in packets]
    assert ports.index(OPEN_PORT) < ports.index(DROPPED_PORT)
    assert any("NETFILTER_DROP" in packet.comment for packet in packets)


def test_flight_recorder_gives_what_came_before_the_request(
    recorder: Callable[..., Recordings], web: Pod, client: Pod, tmp_path: Path
) -> None:
    recordings = recorder("--flight-recorder-bytes", str(1 << 20))
    send(client, web.ipv4, 7500, 4)
    time.sleep(0.2)
    recording = recordings.start(
        filter={"whitelist": [{"destination_port": ["7500", str(DROPPED_PORT)]}]},
        trigger={"filters": [{"verdict": ["DROPPED"]}], "before": {"seconds": 30}},
    )
    assert client.traffic("udp", web.ipv4, str(DROPPED_PORT)) == "timeout"
    eventually(lambda: recordings.get(recording).status == RUNNING)
    recordings.stop(recording)
    packets = recordings.packets(recording, tmp_path)
    # At both pods, and where the kernel found nobody who listens.
    assert sorted(numbers(packets, 7500)) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_nothing_is_left_in_the_kernel_once_nobody_records(
    recordings: Recordings, web: Pod
) -> None:

    before = programs(web.interface)
    recording = recordings.start(filter={"whitelist": [{"protocol": ["tcp"]}]})
    assert programs(web.interface) > before
    recordings.stop(recording)
    eventually(lambda: programs(web.interface) == before)


def test_stock_caller_that_leaves_ends_its_recording_with_a_word_why(
    recordings: Recordings, web: Pod, client: Pod, tmp_path: Path
) -> None:
    stub = RecorderStub(recordings.channel)  # type: ignore[no-untyped-call, unused-ignore]
    everything = recorder_pb2.Filter(source_cidr="0.0.0.0/0", destination_cidr="0.0.0.0/0")
    start = recorder_pb2.RecordRequest(start=recorder_pb2.StartRecording(include=[everything]))

    gone = threading.Event()

    def requests() -> Iterator[recorder_pb2.RecordRequest]:
        yield start
        gone.wait(DEADLINE_S)

    call = stub.Record(requests())
    assert next(call).HasField("running")
    send(client, web.ipv4, 7600, 3)
    while next(call).running.stats.packets_captured < 3:
        pass
    call.cancel()
    gone.set()
    found = recordings.stub.List(api.ListRequest(limit=1), timeout=DEADLINE_S).recordings[0]
    told = recordings.ended(found.id)
    assert told.end == api.RECORDING_END_CALLER_GONE
    assert told.file_name.startswith("hubble_")
    packets = recordings.packets(found.id, tmp_path)
    assert sorted(set(numbers(packets, 7600))) == [0, 1, 2]
