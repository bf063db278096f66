"""How fast batches go through decoding, enrichment and into the ring, on one core."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.figure import Figure
from palomar_bpf.batch import PayloadBatch
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.event_file import EventFileReader
from palomar_server.hooks import Hooks
from palomar_server.names import Names
from palomar_server.pipeline import Pipeline
from palomar_server.ring import Ring
from palomar_server.surroundings import Surroundings

if TYPE_CHECKING:
    from palomar_server.surroundings import Context

SAMPLE = Path(__file__).parents[1] / "server" / "palomar_server" / "samples" / "demo.events"
EVENTS = 1_000_000
BATCH_EVENTS = 4_096
RUNS = 5


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


def ingest() -> list[Figure]:
    """Run the sample, repeated to a million events, through the pipeline of a fresh server."""
    context, batches = read_sample()
    batch = repeated(batches, BATCH_EVENTS)
    surroundings = Surroundings(EndpointTable())
    for one in context:
        surroundings.apply(one)
    encoder = FlowEncoder(surroundings, Names(), "default/bench")
    ring = Ring()
    pipeline = Pipeline(surroundings, Hooks(), encoder, ring)
    rounds = -(-EVENTS // BATCH_EVENTS)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    rates, cpu = [], []
    try:
        for _ in range(RUNS):
            before = ring.flows_seen
            started_s, started_cpu_s = time.perf_counter(), time.process_time()
            for _ in range(rounds):
                pipeline.consume(batch)
            cpu_s, wall_s = time.process_time() - started_cpu_s, time.perf_counter() - started_s
            events = ring.flows_seen - before
            rates.append(events / wall_s)
            cpu.append(cpu_s / events * 1e6)
    finally:
        os.sched_setaffinity(0, cores)
    if pipeline.malformed:
        raise RuntimeError(f"the sample has malformed events: {pipeline.malformed}")
    detail = f"bundled sample repeated to {EVENTS:,}, batches of {BATCH_EVENTS:,}, one core"
    return [
        Figure(
            "sample_ingest_events_per_s",
            statistics.median(rates),
            "events/s",
            f"{detail}; {min(rates):,.0f} to {max(rates):,.0f} in {RUNS} runs",
            aim="≥ 1,000,000",
            hubble="233,000–370,000",
        ),
        Figure(
            "sample_ingest_cpu_s_per_million",
            statistics.median(cpu),
            "CPU-s",
            detail,
            aim="≤ 1",
            hubble="2.7–4.3",
        ),
    ]
