"""What a running palomard costs the node: memory, and CPU at given event rates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figure import Figure, percentile
from bench.ingest import EVENTS, read_sample, repeated
from bench.process_cpu import cpu_s
from bench.readers_process import Readers
from palomar import Client
from palomar.errors import ServerUnavailable
from palomar_bpf.batch import PayloadBatch
from palomar_bpf.testbed import Pod, Testbed
from palomar_server.event_file import EventFileWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
START_TIMEOUT_S = 20
SETTLE_S = 2.0
MEASURE_S = 5.0
FILE_BATCH_EVENTS = 4_000
PORT = 9
_MIB = 1 << 20


@dataclass(slots=True)
class Running:
    """A palomard that runs, or ran."""

    pid: int
    socket: str
    client: Client
    lost: int = -1
    """Events lost, by its own account at the end: known once it has ended."""


@contextmanager
def palomard(*arguments: str) -> Iterator[Running]:
    """Run palomard for the length of the context.

    Raises:
        RuntimeError: it did not end in order; the text has its log.
    """
    with tempfile.TemporaryDirectory() as folder:
        socket, log = f"{folder}/palomar.sock", Path(folder) / "log"
        command = [str(BIN / "palomard"), "--socket", socket, "--log-format", "json", *arguments]
        with log.open("w") as output:
            daemon = subprocess.Popen(command, stderr=output)
        try:
            with Client(f"unix:{socket}") as client:
                _wait_until_up(client, daemon)
                running = Running(daemon.pid, socket, client)
                yield running
        finally:
            daemon.terminate()
            if daemon.wait(START_TIMEOUT_S):
                raise RuntimeError(f"palomard failed:\n{log.read_text()}")
        running.lost = _lost(log.read_text())


def _lost(log: str) -> int:
    """Sum up what palomard's last account says was lost: read there, it costs no CPU meanwhile."""
    for line in reversed(log.splitlines()):
        entry = json.loads(line)
        if "lost" in entry and "flows" in entry:
            return sum(entry["lost"].values())
    raise RuntimeError(f"palomard gave no account of its events:\n{log}")


def _wait_until_up(client: Client, daemon: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            client.status()
        except ServerUnavailable:
            if daemon.poll() is not None or time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        else:
            return


def rss_mib(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / _MIB


def idle() -> list[Figure]:
    """Memory and CPU of live capture with nothing to see."""
    with (
        Testbed(("pt-bench-a", "pt-bench-b")) as testbed,
        palomard("--interface", testbed.interface_glob, "--drops", "watched") as running,
    ):
        time.sleep(SETTLE_S)
        before_s = cpu_s(running.pid)
        time.sleep(MEASURE_S)
        share = (cpu_s(running.pid) - before_s) / MEASURE_S
        memory = rss_mib(running.pid)
    return [
        Figure(
            "rss_live_idle_mib",
            memory,
            "MiB",
            "live capture on two pods, no traffic, ring of 65,535",
            hubble="96 (ring 4,095)–350",
        ),
        Figure("cpu_share_idle", share, "core", "the same, CPU over 5 s"),
    ]


def full() -> list[Figure]:
    """Memory after a million events, and how fast a client reads what the ring kept of them."""
    context, batches = read_sample()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.events"
        block = repeated(batches, FILE_BATCH_EVENTS)
        writer = EventFileWriter(path, 1 << 30)
        for one in context:
            writer.write_context(one)
        for number in range(EVENTS // FILE_BATCH_EVENTS):
            writer.write_batch(
                PayloadBatch(
                    block.buffer, block.offsets, block.lengths, block.cpus, time.time_ns() + number
                )
            )
        writer.close()
        with palomard("--no-live", "--replay", str(path), "--speed", "max") as running:
            client = running.client
            deadline_s = time.monotonic() + 60
            while client.status().seen_flows < EVENTS and time.monotonic() < deadline_s:
                time.sleep(0.1)
            memory = rss_mib(running.pid)
            seen = client.status().seen_flows
            if seen != EVENTS:
                raise RuntimeError(f"palomard saw {seen:,} of {EVENTS:,} replayed events")
            started_s = time.perf_counter()
            read = sum(1 for _ in client.observe(all=True))
            flows_per_s = read / (time.perf_counter() - started_s)
    return [
        Figure(
            "rss_full_mib",
            memory,
            "MiB",
            f"after a replay of {seen:,} events, ring of 65,535 full",
            hubble="290–350 (ring 65,535)",
        ),
        Figure(
            "delivery_flows_per_s",
            flows_per_s,
            "flows/s",
            f"palomar.Client reads the {read:,} flows of the ring, both on this machine",
        ),
    ]


def cpu_shares() -> list[Figure]:
    """CPU of live capture under even traffic between two pods, every packet an event."""
    figures = []
    with Testbed(("pt-bench-a", "pt-bench-b")) as testbed:
        source, sink = testbed.pods
        # Datagrams nobody listens for: the filter keeps the kernel from answering each.
        sink.run("ip", "route", "add", "blackhole", f"{source.ipv4}/32")
        for name, rate, followers, aim, hubble in _SHARES:
            options = ("--interface", testbed.interface_glob, "--aggregation", "none")
            with palomard(*options, "--drops", "off") as running:
                filters = [
                    {"pod": f"pt-bench-{number}", "verdict": "dropped"}
                    for number in range(followers)
                ]
                readers = Readers(running.socket, filters) if followers else None
                share = _share(running, source, sink, rate)
                if readers is not None:
                    readers.end()
            figures.append(
                Figure(
                    name,
                    share.cpu,
                    "core",
                    f"live, {share.events_per_s:,.0f} events/s of 128 bytes"
                    + (f", {followers} followers; of " if followers else "; of ")
                    + f"{share.made:,} made {share.seen:,} seen, {running.lost:,} lost",
                    aim=aim,
                    hubble=hubble,
                )
            )
    return figures


_SHARES = (
    ("cpu_share_1k", 1_000, 0, "", ""),
    ("cpu_share_20k", 20_000, 0, "≤ 0.08", "0.28 (1 ms batches)–0.87 (one by one)"),
    ("cpu_share_20k_8_followers", 20_000, 8, "≤ 0.12", "0.36–1.0"),
)
"""Name, events a second, followers, aim and what Hubble takes."""


def live_latency() -> list[Figure]:
    """From a packet in the kernel to its flow at a client that follows."""
    figures = []
    with Testbed(("pt-bench-a", "pt-bench-b")) as testbed:
        source, sink = testbed.pods
        sink.run("ip", "route", "add", "blackhole", f"{source.ipv4}/32")
        for name, rate in (("latency_live_10k_p50_ms", 10_000), ("latency_live_100_p50_ms", 100)):
            options = ("--interface", testbed.interface_glob, "--aggregation", "none")
            with palomard(*options, "--drops", "off") as running:
                readers = Readers(running.socket, [{"port": str(PORT)}], delays=True)
                share = _share(running, source, sink, rate)
                (received,) = readers.end()
            delays_ms = [delay / 1e6 for delay in received["delays_ns"]]
            figures.append(
                Figure(
                    name,
                    percentile(delays_ms, 50),
                    "ms",
                    f"live, {share.events_per_s:,.0f} events/s, one follower, from the kernel's "
                    f"time on; p99 {percentile(delays_ms, 99):.3g}",
                )
            )
    return figures


@dataclass(frozen=True, slots=True)
class _Share:
    """What a flood of datagrams cost, and what became of its events."""

    cpu: float
    """Of one core, while it was measured."""
    events_per_s: float
    """Seen, likewise."""
    made: int
    """Events the whole flood makes: fixed by what the sender says it sent."""
    seen: int
    """Those that palomard saw; other packets of the pods come on top."""


def _share(running: Running, source: Pod, sink: Pod, rate: int) -> _Share:
    """Measure while `rate` events a second are made."""
    # Every datagram is seen twice: as it leaves one pod and as it enters the other.
    command = source.command(
        *(sys.executable, "-m", "palomar_bpf.traffic", "flood", sink.ipv4, str(PORT)),
        *(str(rate // 2), str(MEASURE_S + 2)),
    )
    pid, client = running.pid, running.client
    all_before = client.status().seen_flows
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
        time.sleep(1)
        before_s, before_flows, started_s = cpu_s(pid), client.status().seen_flows, time.monotonic()
        time.sleep(MEASURE_S)
        took_s = time.monotonic() - started_s
        used_s, flows = cpu_s(pid) - before_s, client.status().seen_flows - before_flows
        sent = int(flood.communicate()[0])
    time.sleep(SETTLE_S)
    seen = client.status().seen_flows - all_before
    return _Share(used_s / took_s, flows / took_s, 2 * sent, seen)
