"""What a running palomard costs the node: memory, and CPU at given event rates."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figure import Figure
from bench.ingest import EVENTS, read_sample, repeated
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
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MIB = 1 << 20


@contextmanager
def palomard(*arguments: str) -> Iterator[tuple[int, Client]]:
    """Run palomard; give its pid and a client."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/palomar.sock"
        daemon = subprocess.Popen(
            [str(BIN / "palomard"), "--socket", socket, "--log-level", "error", *arguments]
        )
        try:
            with Client(f"unix:{socket}") as client:
                _wait_until_up(client, daemon)
                yield daemon.pid, client
        finally:
            daemon.terminate()
            daemon.wait(START_TIMEOUT_S)


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


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, user and system, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def idle() -> list[Figure]:
    """Memory and CPU of live capture with nothing to see."""
    with (
        Testbed(("pt-bench-a", "pt-bench-b")) as testbed,
        palomard("--interface", testbed.interface_glob, "--drops", "watched") as (pid, _),
    ):
        time.sleep(SETTLE_S)
        before_s = cpu_s(pid)
        time.sleep(MEASURE_S)
        share = (cpu_s(pid) - before_s) / MEASURE_S
        memory = rss_mib(pid)
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
    """Memory after a million events."""
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
        with palomard("--no-live", "--replay", str(path), "--speed", "max") as (pid, client):
            deadline_s = time.monotonic() + 60
            while client.status().seen_flows < EVENTS and time.monotonic() < deadline_s:
                time.sleep(0.1)
            memory = rss_mib(pid)
            seen = client.status().seen_flows
    return [
        Figure(
            "rss_full_mib",
            memory,
            "MiB",
            f"after a replay of {seen:,} events, ring of 65,535 full",
            hubble="290–350 (ring 65,535)",
        )
    ]


def cpu_shares() -> list[Figure]:
    """CPU of live capture under even traffic between two pods, every packet an event."""
    aims = {1_000: "", 20_000: "< 0.1"}
    hubble = {1_000: "", 20_000: "0.28 (1 ms batches)–0.87 (one by one)"}
    figures = []
    with Testbed(("pt-bench-a", "pt-bench-b")) as testbed:
        source, sink = testbed.pods
        # Datagrams nobody listens for: the filter keeps the kernel from answering each.
        sink.run("ip", "route", "add", "blackhole", f"{source.ipv4}/32")
        for rate, aim in aims.items():
            options = ("--interface", testbed.interface_glob, "--aggregation", "none")
            with palomard(*options, "--drops", "off") as (pid, client):
                share, events_per_s, lost = _share(pid, client, source, sink, rate)
            figures.append(
                Figure(
                    f"cpu_share_{rate // 1000}k",
                    share,
                    "core",
                    f"live, {events_per_s:,.0f} events/s of 128 bytes seen, {lost} lost",
                    aim=aim,
                    hubble=hubble[rate],
                )
            )
    return figures


def _share(pid: int, client: Client, source: Pod, sink: Pod, rate: int) -> tuple[float, float, int]:
    """CPU share, events per second and losses while `rate` events a second are made."""
    # Every datagram is seen twice: as it leaves one pod and as it enters the other.
    flood = subprocess.Popen(
        source.command(
            sys.executable,
            "-m",
            "palomar_bpf.traffic",
            "flood",
            sink.ipv4,
            str(PORT),
            str(rate // 2),
            str(MEASURE_S + 2),
        ),
        stdout=subprocess.DEVNULL,
    )
    with flood:
        time.sleep(1)
        before_s, before_flows, started_s = cpu_s(pid), client.status().seen_flows, time.monotonic()
        time.sleep(MEASURE_S)
        took_s = time.monotonic() - started_s
        used_s, seen = cpu_s(pid) - before_s, client.status().seen_flows - before_flows
    lost = 0

    def count(event: object) -> None:
        nonlocal lost
        lost += int(getattr(event, "num_events_lost", 0))

    for _ in client.observe(last=1, on_lost=count):
        pass
    return used_s / took_s, seen / took_s, lost
