"""A palomard that is fed with the corpus from within, at full speed or by the clock.

    python -m bench.feed --socket PATH

Each line on its standard input is an order in JSON: how many `events` to feed, at what `rate` a
second (0: as fast as they are taken) and with what `spacing_s` from batch to batch. When that is
done, it says in one line of JSON on its standard output what it fed. The rest is palomard as users
run it: agent, hooks, ring, gRPC.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import queue
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from bench import corpus
from palomar_server.daemon import Daemon
from palomar_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palomar_bpf.batch import PayloadBatch
    from palomar_server.source import SourceItem

BATCH_EVENTS = 4_096
_LOOK_S = 0.05


class Feed:
    """A source that gives the corpus over and over, as it is told."""

    def __init__(self) -> None:
        self._context = [corpus.read_context()]
        self._payloads = corpus.read_payloads()
        self._orders: queue.Queue[str] = queue.Queue(maxsize=100)
        self._items: Iterator[PayloadBatch] = iter(())

    def order(self, line: str) -> None:
        """Feed what this line says, after all before it; from any thread."""
        self._orders.put(line)

    def _give(self, events: int, rate: float, spacing_s: float) -> Iterator[PayloadBatch]:
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        yield from self._paced(events, rate, spacing_s) if rate else self._flood(events)
        took_s = time.perf_counter() - started_s
        cpu_s = time.process_time() - started_cpu_s
        print(json.dumps({"events": events, "took_s": took_s, "cpu_s": cpu_s}), flush=True)

    def _flood(self, events: int) -> Iterator[PayloadBatch]:
        batches = corpus.batches_of(self._payloads, BATCH_EVENTS)
        given = 0
        for batch in itertools.cycle(batches):
            yield replace(batch, received_ns=time.time_ns())
            given += len(batch)
            if given >= events:
                return

    def _paced(self, events: int, rate: float, spacing_s: float) -> Iterator[PayloadBatch]:
        """Batches by the clock; late ones are given at once, with the time when they were due."""
        size = max(1, round(rate * spacing_s))
        batches = corpus.batches_of(self._payloads, size)
        started_s, started_ns, given = time.perf_counter(), time.time_ns(), 0
        for batch in itertools.cycle(batches):
            due_s = given / rate
            time.sleep(max(0.0, started_s + due_s - time.perf_counter()))
            yield replace(batch, received_ns=started_ns + round(due_s * 1e9))
            given += len(batch)
            if given >= events:
                return

    def read(self, timeout_s: float | None = None) -> SourceItem | None:
        """See `source.Source`; it says None at times, while it has no order."""
        del timeout_s
        if self._context:
            return self._context.pop()
        batch = next(self._items, None)
        if batch is None:
            try:
                self._items = self._give(**json.loads(self._orders.get(timeout=_LOOK_S)))
            except queue.Empty:
                return None
        return batch

    def wake(self) -> None:
        """See `source.Source`; a read under way returns soon anyway."""

    def close(self) -> None:
        """See `source.Source`."""


def main() -> None:
    """Serve until terminated."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=Path, required=True)
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    feed = Feed()
    settings = Settings(socket=options.socket, monitor_clients_max=0)

    def take_orders() -> None:
        for line in sys.stdin:
            feed.order(line)

    threading.Thread(target=take_orders, daemon=True).start()
    asyncio.run(Daemon(settings, {"feed": feed}).run())


if __name__ == "__main__":
    main()
