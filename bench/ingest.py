"""How fast batches go through decoding, enrichment and into the ring, on one core."""

from __future__ import annotations

import os
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import corpus
from bench.figure import Figure
from palomar_bpf.batch import PayloadBatch
from palomar_server.component_settings import decode_options
from palomar_server.decode.decoder import Decoder
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.event_file import EventFileReader
from palomar_server.hooks import Hooks
from palomar_server.pipeline import Pipeline
from palomar_server.ring import Ring
from palomar_server.settings import Settings
from palomar_server.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from palomar_server.surroundings import Context

SAMPLE = Path(__file__).parents[1] / "server" / "palomar_server" / "samples" / "demo.events"
EVENTS = 1_000_000
BATCH_EVENTS = 4_096
RUNS = 5
SMALL_BATCH_EVENTS = 100
SMALL_BATCHES = 1_000


def read_sample() -> tuple[list[Context], list[PayloadBatch]]:
    """The context objects and the batches of the bundled sample."""
    context: list[Context] = []
    batches: list[PayloadBatch] = []
    with EventFileReader(SAMPLE) as reader:
        for item in reader:
            if isinstance(item, PayloadBatch):
                batches.append(item)
            else:
                context.append(item)
    return context, batches


def repeated(batches: list[PayloadBatch], events: int) -> PayloadBatch:
    """One batch of `events` payloads: those of `batches` over and over."""
    payloads = [batch.payload(index) for batch in batches for index in range(len(batch))]
    chosen = [payloads[index % len(payloads)] for index in range(events)]
    lengths = np.array([len(payload) for payload in chosen], np.int64)
    return PayloadBatch(
        np.frombuffer(b"".join(chosen), np.uint8),
        np.cumsum(lengths) - lengths,
        lengths,
        np.zeros(events, np.uint16),
        time.time_ns(),
    )


def server(context: Iterable[Context]) -> tuple[Pipeline, Ring]:
    """The way into the ring of a fresh server, as its default settings have it."""
    surroundings = Surroundings(EndpointTable())
    for one in context:
        surroundings.apply(one)
    ring = Ring()
    encoder = FlowEncoder(surroundings, "default/bench")
    options = decode_options(Settings())
    return Pipeline(surroundings, Hooks(), encoder, ring, options=options), ring


@contextmanager
def one_core() -> Iterator[None]:
    """Stay on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@dataclass(frozen=True, slots=True)
class Runs:
    """What each run of a million events took."""

    events_per_s: list[float]
    cpu_s_per_million: list[float]


def run(pipeline: Pipeline, ring: Ring, batches: Sequence[PayloadBatch]) -> Runs:
    """Feed the batches, over and over, until it is a million events each run; after one to warm up.

    Raises:
        RuntimeError: there were events that could not be decoded.
    """
    runs = Runs([], [])
    for batch in batches:
        pipeline.consume(batch)
    rounds = -(-EVENTS // sum(map(len, batches)))
    with one_core():
        for _ in range(RUNS):
            before = ring.flows_seen
            started_s, started_cpu_s = time.perf_counter(), time.process_time()
            for _ in range(rounds):
                for batch in batches:
                    pipeline.consume(batch)
            cpu_s, wall_s = time.process_time() - started_cpu_s, time.perf_counter() - started_s
            events = ring.flows_seen - before
            runs.events_per_s.append(events / wall_s)
            runs.cpu_s_per_million.append(cpu_s / events * 1e6)
    if pipeline.malformed:
        raise RuntimeError(f"there are malformed events: {pipeline.malformed}")
    return runs


def figures(prefix: str, runs: Runs, what: str, aim_events_per_s: int) -> list[Figure]:
    """The two figures of a way in: how fast, and at what cost."""
    detail = f"{what}, batches of {BATCH_EVENTS:,}, one core"
    rates, cpu = runs.events_per_s, runs.cpu_s_per_million
    return [
        Figure(
            f"{prefix}ingest_events_per_s",
            statistics.median(rates),
            "events/s",
            f"{detail}; {min(rates):,.0f} to {max(rates):,.0f} in {RUNS} runs",
            aim=f"≥ {aim_events_per_s:,}",
            hubble="233,000–370,000",
        ),
        Figure(
            f"{prefix}ingest_cpu_s_per_million",
            statistics.median(cpu),
            "CPU-s",
            f"{detail}; {min(cpu):.3g} to {max(cpu):.3g} in {RUNS} runs",
            aim="≤ 1",
            hubble="2.7–4.3",
        ),
    ]


def ingest() -> list[Figure]:
    """Run the bundled sample, repeated, through the pipeline of a fresh server."""
    context, batches = read_sample()
    batch = repeated(batches, BATCH_EVENTS)
    what = f"bundled sample repeated to {EVENTS:,}"
    return figures("sample_", run(*server(context), [batch]), what, 1_000_000)


def ingest_corpus() -> list[Figure]:
    """Run the mixed corpus through the pipeline of a fresh server, where it is there."""
    if not corpus.FOLDER.is_dir():
        return []
    context, payloads = corpus.read_context(), corpus.read_payloads()
    runs = run(*server([context]), corpus.batches_of(payloads, BATCH_EVENTS))
    what = f"{len(payloads):,} mixed events of 10,000 connections, to {EVENTS:,}"
    small = corpus.batches_of(payloads[: SMALL_BATCH_EVENTS * SMALL_BATCHES], SMALL_BATCH_EVENTS)
    return [*figures("", runs, what, 1_200_000), _small_batches(context, small)]


def _small_batches(context: Context, batches: Sequence[PayloadBatch]) -> Figure:
    """What decoding a batch takes of which there are hundreds a second on a busy node."""
    surroundings = Surroundings(EndpointTable())
    surroundings.apply(context)
    decoder = Decoder(surroundings, decode_options(Settings()))
    took_us = []
    with one_core():
        for batch in batches:
            started_s = time.perf_counter()
            decoder.decode(batch)
            took_us.append((time.perf_counter() - started_s) * 1e6)
    return Figure(
        f"decode_batch_{SMALL_BATCH_EVENTS}_us",
        statistics.median(took_us),
        "µs",
        f"decoding and enriching {SMALL_BATCH_EVENTS} mixed events at once, median of "
        f"{len(batches):,} batches",
    )
