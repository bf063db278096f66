"""Run all benchmarks: a table on the terminal, and build/bench.json."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench import corpus
from bench.client import command_line
from bench.daemon import cpu_shares, full, idle, live_latency
from bench.figure import Figure, save, show
from bench.ingest import ingest, ingest_corpus
from bench.observe import ingest_with_followers, latency, queries
from bench.record_live import record_latency, record_live
from bench.recorder import sink
from palomar_bpf.check import check_machine, missing

RESULT = Path(__file__).parents[1] / "build" / "bench.json"
ALWAYS = (ingest, ingest_corpus, full, sink)
CORPUS = (ingest_with_followers, queries, latency, command_line)
"""What needs the mixed corpus."""
LIVE = (idle, cpu_shares, live_latency, record_live, record_latency)


def main() -> None:
    """Measure everything this machine can."""
    log = Console(stderr=True)
    figures: list[Figure] = []
    lacks = missing(check_machine(try_load=True))
    has_corpus = corpus.FOLDER.is_dir()
    for measure in (*ALWAYS, *(CORPUS if has_corpus else ()), *(() if lacks else LIVE)):
        log.print(f"measuring {measure.__name__} …")
        figures += measure()
    if not has_corpus:
        log.print(f"no figures of the mixed corpus: there is no folder {corpus.FOLDER}")
    for lack in lacks:
        log.print(f"no live figures: {lack.name}: {lack.detail}; {lack.remedy}")
    show(figures)
    save(figures, RESULT)
    log.print("written to build/bench.json")


if __name__ == "__main__":
    main()
