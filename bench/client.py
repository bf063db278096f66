"""What the command line tool takes: to start, to print a full ring, and to follow for long."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from bench.daemon import BIN
from bench.figure import Figure
from bench.observe import RING, fed
from bench.readers_process import CORE, OTHER_CORES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.observe import Fed

STARTS = 21
RUNS = 3
FOLLOW_RATE = 20_000
FOLLOW_WARM_UP_S = 3
FOLLOW_S = 12
_MIB = 1 << 20
_PALOMAR = str(BIN / "palomar")


def command_line() -> list[Figure]:
    """Run the tool against a palomard on the other core."""
    with fed(OTHER_CORES) as daemon:
        daemon.feed(2 * RING)
        first = _printing_first(daemon)
        return [
            _start(daemon),
            *_import(),
            _printing(daemon, "jsonpb", aim="≥ 28,000", hubble="28,000"),
            _printing(daemon, "compact", aim="≥ 60,000"),
            first,
            _reading(daemon),
            _growth(daemon),
        ]


@contextmanager
def _tool(daemon: Fed, *arguments: str, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    """A `palomar observe` on a core where the daemon is not, with Python's own buffering."""
    command = [_PALOMAR, "observe", *arguments, "--server", f"unix:{daemon.socket}"]
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("PYTHON")}
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORE)  # the child's as well
    try:
        with subprocess.Popen(command, stdout=stdout, env=environment) as process:
            try:
                yield process
            finally:
                process.kill()
    finally:
        os.sched_setaffinity(0, cores)


def _start(daemon: Fed) -> Figure:
    took_ms = []
    for _ in range(STARTS + 1):
        started_s = time.perf_counter()
        with _tool(daemon, "--last", "1", stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # noqa: S101 - for the type checker
            if not process.stdout.readline():
                raise RuntimeError("palomar observe printed nothing")
            took_ms.append((time.perf_counter() - started_s) * 1e3)
    del took_ms[0]
    return Figure(
        "cli_start_ms",
        statistics.median(took_ms),
        "ms",
        f"`palomar observe --last 1`, from a new process to the first line; {min(took_ms):.0f} to "
        f"{max(took_ms):.0f} in {STARTS} runs",
        aim="< 150",
    )


def _import() -> Iterator[Figure]:
    """How long Python takes for what programs import, beyond its own start."""
    bare_ms = _python_ms("pass")
    for name, statement, detail in (
        ("import_client_ms", "from palomar import Client", "`from palomar import Client`"),
        ("import_cli_ms", "import palomar.cli", "what `palomar --help` needs"),
    ):
        yield Figure(
            name,
            _python_ms(statement) - bare_ms,
            "ms",
            f"{detail}; an interpreter alone takes {bare_ms:.0f}",
        )


def _python_ms(statement: str) -> float:
    took_ms = []
    for _ in range(STARTS):
        started_s = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        took_ms.append((time.perf_counter() - started_s) * 1e3)
    return statistics.median(took_ms)


def _printing(daemon: Fed, output: str, *, aim: str, hubble: str = "") -> Figure:
    """Print a full ring to a file, start and end of the process included."""
    with tempfile.TemporaryFile() as printed:
        rates = _rates(daemon, ("--last", str(RING), "-o", output), printed)
    return Figure(
        f"cli_{output}_flows_per_s",
        statistics.median(rates),
        "flows/s",
        f"`palomar observe --last {RING} -o {output}` to a file, the whole process; "
        f"{min(rates):,.0f} to {max(rates):,.0f} in {RUNS} runs",
        aim=aim,
        hubble=hubble,
    )


def _printing_first(daemon: Fed) -> Figure:
    """Print a full ring that nobody has read yet, so that palomard has all of it to encode."""
    with tempfile.TemporaryFile() as printed:
        rate = _rate(daemon, ("--last", str(RING), "-o", "compact"), printed)
    return Figure(
        "cli_compact_first_flows_per_s",
        rate,
        "flows/s",
        "the same, once, of a palomard that has sent no flow before and encodes all of them",
    )


def _reading(daemon: Fed) -> Figure:
    """Print the flows of a file, without the daemon."""
    with tempfile.NamedTemporaryFile() as flows, tempfile.TemporaryFile() as printed:
        with _tool(daemon, "--last", str(RING), "-o", "jsonpb", stdout=flows.fileno()) as process:
            process.wait()
        rates = _rates(daemon, ("--input-file", flows.name), printed)
    return Figure(
        "cli_input_file_flows_per_s",
        statistics.median(rates),
        "flows/s",
        f"`palomar observe --input-file` of {RING:,} flows as JSON, compact, to a file; "
        f"{min(rates):,.0f} to {max(rates):,.0f} in {RUNS} runs",
    )


def _rates(daemon: Fed, arguments: tuple[str, ...], printed: IO[bytes]) -> list[float]:
    """Flows a second of a few runs, after one to warm up."""
    return [_rate(daemon, arguments, printed) for _ in range(RUNS + 1)][1:]


def _rate(daemon: Fed, arguments: tuple[str, ...], printed: IO[bytes]) -> float:
    """Flows a second of one run.

    Raises:
        RuntimeError: it did not print a full ring.
    """
    printed.seek(0)
    printed.truncate()
    started_s = time.perf_counter()
    with _tool(daemon, *arguments, stdout=printed.fileno()) as process:
        code = process.wait()
    took_s = time.perf_counter() - started_s
    printed.seek(0)
    lines = sum(1 for _ in printed)
    if code or lines != RING:
        raise RuntimeError(f"palomar printed {lines:,} lines of {RING:,}, exit code {code}")
    return RING / took_s


def _growth(daemon: Fed) -> Figure:
    """How much memory a tool gains that follows for long."""
    with _tool(daemon, "-f", "-o", "compact", stdout=subprocess.DEVNULL) as process:
        daemon.feed(FOLLOW_RATE * FOLLOW_WARM_UP_S, rate=FOLLOW_RATE)
        before = _resident_bytes(process.pid)
        daemon.feed(FOLLOW_RATE * FOLLOW_S, rate=FOLLOW_RATE)
        growth = _resident_bytes(process.pid) - before
    return Figure(
        "cli_follow_growth_mib",
        growth / _MIB,
        "MiB",
        f"`palomar observe -f` while {FOLLOW_RATE * FOLLOW_S:,} flows pass, after "
        f"{FOLLOW_RATE * FOLLOW_WARM_UP_S:,} and {before / _MIB:.0f} MiB",
        aim="≤ 1",
    )


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")
