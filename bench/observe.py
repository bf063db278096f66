"""What following and looking back cost: followers under load, queries, delivery, latency."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from bench import corpus
from bench.daemon import START_TIMEOUT_S
from bench.figure import Figure, percentile
from bench.ingest import server
from bench.process_cpu import cpu_s
from bench.readers_process import CORE, OTHER_CORES, Readers, run_module
from palomar import Client
from palomar.errors import ServerUnavailable
from palomar.rpc import CONNECT_TIMEOUT_S, channel_options
from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_proto.observer.observer_pb2_grpc import ObserverStub
from palomar_server.address import format_address

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

EVENTS = 1_000_000
WARM_UP_EVENTS = 200_000
CORPUS_EVENTS = 200_000
FOLLOWERS = 8
RUNS = 3
QUERIES = 41
LATENCY_S = 5.0
RING = 65_535


@dataclass(frozen=True, slots=True)
class Fed:
    """A palomard that `bench.feed` runs."""

    process: subprocess.Popen[str]
    socket: str
    client: Client

    def feed(self, events: int, rate: float = 0, spacing_s: float = 0.001) -> dict[str, Any]:
        """Have so much fed, and wait for it; gives `events`, `took_s` and `cpu_s`."""
        assert self.process.stdin is not None  # noqa: S101 - for the type checker
        assert self.process.stdout is not None  # noqa: S101 - likewise
        order = {"events": events, "rate": rate, "spacing_s": spacing_s}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told


@contextmanager
def fed(cores: set[int] | None = None) -> Iterator[Fed]:
    """Run a palomard that is fed with the corpus for the length of the context."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        socket = f"{folder}/palomar.sock"
        process = stack.enter_context(run_module("bench.feed", "--socket", socket))
        if cores is not None:
            os.sched_setaffinity(process.pid, cores)
        stack.callback(process.terminate)
        client = stack.enter_context(Client(f"unix:{socket}"))
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                client.status()
                break
            except ServerUnavailable:
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.1)
        yield Fed(process, socket, client)


def _dropped_by_pod() -> Counter[str]:
    """Of the whole corpus, how many dropped flows each pod is in."""
    context = corpus.read_context()
    pods = {one["addresses"][0]: one for one in context["endpoints"].values()}
    pipeline, ring = server([context])
    counts: Counter[str] = Counter()
    for batch in corpus.batches_of(corpus.read_payloads(), 16_384):
        first = ring.next
        pipeline.consume(batch)
        for _, rows in ring.spans(first, ring.next):
            for one in rows[rows["verdict"] == flow_pb2.DROPPED]:
                ends = {
                    format_address(int(one[f"{side}_hi"]), int(one[f"{side}_lo"]))
                    for side in ("source", "destination")
                }
                counts.update(f"{pods[end]['namespace']}/{pods[end]['pod_name']}" for end in ends)
    return counts


def _filters() -> tuple[list[dict[str, Any]], list[int]]:
    """Eight filters of one pod and dropped flows, and how many flows of the corpus pass each."""
    pods = sorted(_dropped_by_pod().items())[:: 200 // FOLLOWERS][:FOLLOWERS]
    return [{"pod": pod, "verdict": "dropped"} for pod, _ in pods], [count for _, count in pods]


def ingest_with_followers() -> list[Figure]:
    """Feed a million events, on one core with everybody who follows."""
    filters, counts = _filters()
    rates, cpu, server_cpu, lost, missing = [], [], [], 0, 0
    for _ in range(RUNS):
        with fed(CORE) as daemon:
            readers = Readers(daemon.socket, filters, cores=CORE)
            # As for Hubble: every flow was seen before, by everybody.
            events = daemon.feed(WARM_UP_EVENTS, rate=100_000, spacing_s=0.01)["events"]
            time.sleep(1.0)
            before_s, readers_before_s = cpu_s(daemon.process.pid), readers.cpu_s()
            told = daemon.feed(EVENTS)
            # What is still on its way is part of the cost.
            time.sleep(1.0)
            used_s = cpu_s(daemon.process.pid) - before_s
            server_cpu.append(used_s / told["events"] * 1e6)
            readers_s = readers.cpu_s() - readers_before_s
            cpu.append((used_s + readers_s) / told["events"] * 1e6)
            rates.append(told["events"] / told["took_s"])
            events += told["events"]
            received = readers.end()
        lost += sum(one["lost"] for one in received)
        expected = sum(counts) * events // CORPUS_EVENTS
        missing += abs(expected - sum(one["flows"] for one in received))
    detail = f"{EVENTS:,} events, {FOLLOWERS} followers of a pod's drops, all on one core"
    return [
        Figure(
            "ingest_8_followers_events_per_s",
            statistics.median(rates),
            "events/s",
            f"{detail}; {min(rates):,.0f} to {max(rates):,.0f} in {RUNS} runs",
            aim="≥ 800,000",
            hubble="67,000",
        ),
        Figure(
            "ingest_8_followers_cpu_s_per_million",
            statistics.median(cpu),
            "CPU-s",
            f"server and clients; the server alone {statistics.median(server_cpu):.3g}",
            aim="≤ 2",
            hubble="14.8",
        ),
        Figure(
            "ingest_8_followers_lost",
            lost + missing,
            "flows",
            f"told as lost {lost:,}, not received or too many {missing:,}, in {RUNS} runs",
            aim="0",
            hubble="4.9 M",
        ),
    ]


def queries() -> list[Figure]:
    """Ask a full ring, one client on the other core."""
    filters, counts = _filters()
    chosen = min(range(len(filters)), key=lambda index: abs(counts[index] - 400))
    keywords = filters[chosen]
    with fed(OTHER_CORES) as daemon, _on_a_core_of_its_own():
        daemon.feed(2 * RING)
        started_s = time.perf_counter()
        first = sum(1 for _ in daemon.client.observe(all=True)) / (time.perf_counter() - started_s)
        client = daemon.client
        all_ms, flows = _times_ms(lambda: sum(1 for _ in client.observe(all=True, **keywords)))
        last_ms, last = _times_ms(lambda: sum(1 for _ in client.observe(last=20, **keywords)))
        delivery = [
            _rate(lambda: sum(1 for _ in client.observe(all=True))),
            _rate(lambda: _stock(daemon.socket)),
        ]
    return [
        Figure(
            "query_pod_dropped_ms",
            statistics.median(all_ms),
            "ms",
            f"{flows} flows of a full ring to the last one; {min(all_ms):.3g} to {max(all_ms):.3g} "
            f"in {QUERIES} runs",
            aim="≤ 4",
            hubble="28",
        ),
        Figure(
            "query_last20_ms",
            statistics.median(last_ms),
            "ms",
            f"the last {last} of them; {min(last_ms):.3g} to {max(last_ms):.3g}",
            aim="≤ 3",
            hubble="5.2",
        ),
        Figure(
            "delivery_batches_flows_per_s",
            statistics.median(delivery[0]),
            "flows/s",
            "palomar.Client reads a full ring by batches, every flow parsed; the first time, "
            f"when nothing of the ring had been sent to anybody yet, {first:,.0f}",
            aim="≥ 300,000",
            hubble="106,000 (Go client)",
        ),
        Figure(
            "delivery_stock_flows_per_s",
            statistics.median(delivery[1]),
            "flows/s",
            "the same by GetFlows, one flow a message",
            aim="≥ 28,000",
            hubble="106,000 (Go client), 28,000 (its CLI)",
        ),
    ]


def _times_ms(ask: Callable[[], int]) -> tuple[list[float], int]:
    """How long each of many runs took, after one to warm up, and what the last one gave."""
    found, took_ms = ask(), []
    for _ in range(QUERIES):
        started_s = time.perf_counter()
        found = ask()
        took_ms.append((time.perf_counter() - started_s) * 1e3)
    return took_ms, found


def _rate(read: Callable[[], int]) -> list[float]:
    """Flows a second of a few runs, after one to warm up.

    Raises:
        RuntimeError: it was not a full ring.
    """
    rates = []
    for _ in range(RUNS + 1):
        started_s = time.perf_counter()
        found = read()
        rates.append(found / (time.perf_counter() - started_s))
        if found != RING:
            raise RuntimeError(f"{found:,} flows came of a ring of {RING:,}")
    return rates[1:]


@contextmanager
def _on_a_core_of_its_own() -> Iterator[None]:
    """Have this process, as a client, run where the daemon does not."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORE)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _stock(socket: str) -> int:
    """Read all by GetFlows.

    With the channel options of palomar's client: by default grpcio hands each message from thread
    to thread, which takes four times the CPU of all the rest.
    """
    with grpc.insecure_channel(f"unix:{socket}", channel_options(CONNECT_TIMEOUT_S)) as channel:
        responses = ObserverStub(channel).GetFlows(observer_pb2.GetFlowsRequest(number=1 << 62))
        return sum(1 for response in responses if response.HasField("flow"))


def latency() -> list[Figure]:
    """From an event's receipt to the flow in a following client's hands, on the other core."""
    at_10k = _delays_ms(rate=10_000, spacing_s=0.002)
    at_100 = _delays_ms(rate=100, spacing_s=0.01)
    detail = "one unfiltered follower"
    return [
        Figure(
            "latency_10k_p50_ms",
            percentile(at_10k, 50),
            "ms",
            f"10,000 events/s in batches of 2 ms for {LATENCY_S:.0f} s, {detail}",
            aim="≤ 1.5",
            hubble="0.30 (one by one 0.22)",
        ),
        Figure(
            "latency_10k_p99_ms",
            percentile(at_10k, 99),
            "ms",
            "likewise",
            "≤ 5",
            hubble="2.0 (one by one 5.4)",
        ),
        Figure(
            "latency_100_p50_ms",
            percentile(at_100, 50),
            "ms",
            f"100 events/s one by one, {detail}",
            aim="≤ 2",
            hubble="10.6",
        ),
    ]


def _delays_ms(rate: int, spacing_s: float) -> list[float]:
    events = int(rate * LATENCY_S)
    with fed(OTHER_CORES) as daemon:
        readers = Readers(daemon.socket, [{}], delays=True, cores=CORE)
        # As for Hubble: nothing is new to anybody.
        warm_up = daemon.feed(WARM_UP_EVENTS, rate=40_000, spacing_s=0.01)["events"]
        daemon.feed(events, rate, spacing_s)
        time.sleep(0.5)
        (received,) = readers.end()
    if received["flows"] != warm_up + events:
        raise RuntimeError(f"{received['flows']:,} flows came of {warm_up + events:,} events")
    return [delay / 1e6 for delay in received["delays_ns"][warm_up:]]
