"""Programs of the benchmarks that run beside them, above all clients that follow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.process_cpu import cpu_s

CORE = {max(os.sched_getaffinity(0))}
"""The one core, where everybody shares one; else the clients'."""
OTHER_CORES = os.sched_getaffinity(0) - CORE or CORE
"""The daemon's, where it is not to share one with its clients."""


def run_module(name: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a module of the benchmarks, with its standard input and output at hand."""
    return subprocess.Popen(
        [sys.executable, "-m", name, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[1],
    )


class Readers:
    """Clients in a process of their own; see `bench.readers`.

    Args:
        socket: of the palomard.
        filters: keywords of each stream.
        delays: whether the delay of each flow is wanted.
        cores: where they run; anywhere if None.
    """

    def __init__(
        self,
        socket: str,
        filters: list[dict[str, Any]],
        *,
        delays: bool = False,
        cores: set[int] | None = None,
    ) -> None:
        arguments = ("--socket", socket, "--filters", json.dumps(filters))
        self._process = run_module("bench.readers", *arguments, *(("--delays",) if delays else ()))
        if cores is not None:
            os.sched_setaffinity(self._process.pid, cores)
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the clients did not start")
        self._before_s = cpu_s(self._process.pid)

    def cpu_s(self) -> float:
        """CPU time since all streams were served, in seconds."""
        return cpu_s(self._process.pid) - self._before_s

    def end(self) -> list[dict[str, Any]]:
        """What each stream got: `flows`, `lost` and `delays_ns`."""
        out, _ = self._process.communicate()
        received: list[dict[str, Any]] = json.loads(out)
        return received
