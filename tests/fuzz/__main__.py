"""Fuzz the decoders: `make fuzz`.

Without arguments every target gets an equal share of FUZZ_SECONDS (default 60), as many at once as
there are cores; with a target's name, that one gets all; with files behind it, they are run and
nothing else. Inputs that reached new ground are kept in build/fuzz/TARGET/found for the next time.
Exits 1 if anything broke; the input is then in build/fuzz/TARGET.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "fuzz"
SECONDS_DEFAULT = 60
INPUT_BYTES_MAX = 4_096
INPUT_SECONDS_MAX = 10
MEMORY_MIB_MAX = 1_024
TAIL_LINES = 40


def main(arguments: list[str] | None = None) -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", choices=sorted(TARGETS))
    parser.add_argument("inputs", nargs="*", type=Path, help="run these and nothing else")
    options = parser.parse_args(arguments)
    seconds = int(os.environ.get("FUZZ_SECONDS") or SECONDS_DEFAULT)
    if options.inputs:
        return subprocess.call(_command(options.target, *map(str, options.inputs)), cwd=ROOT)
    names = [options.target] if options.target else list(TARGETS)
    at_once = min(len(names), os.cpu_count() or 1)
    rounds = -(-len(names) // at_once)
    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(lambda name: _fuzz(name, max(1, seconds // rounds)), names))
    return 0 if all(results) else 1


def _command(target: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "tests.fuzz.engine", target, *options]


def _fuzz(target: str, seconds: int) -> bool:
    """Fuzz one target; whether nothing broke."""
    folder = FOLDER / target
    found, start = folder / "found", folder / "seeds"
    for one in (found, start):
        one.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (start / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
    )
    log = folder / "log"
    with log.open("wb") as output:
        command = _command(target, *options, str(found), str(start))
        code = subprocess.call(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    lines = log.read_text(errors="replace").splitlines()
    runs = [line.split()[-1] for line in lines if line.startswith("stat::number_of_executed_units")]
    kept = sum(1 for _ in found.iterdir())
    sys.stdout.write(
        f"{target}: {seconds} s, {runs[0] if runs else '?'} inputs, {kept} kept, "
        f"{'clean' if code == 0 else 'BROKEN'}\n"
    )
    if code:
        sys.stdout.write("\n".join(lines[-TAIL_LINES:]) + "\n")
    sys.stdout.flush()
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
