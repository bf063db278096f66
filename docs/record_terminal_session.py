"""Write the page that shows a terminal session, by having one.

The commands run as they stand, in a shell, against a palomard that replays the bundled sample,
whose flows have the times at which they were recorded.

Usage: python docs/record_terminal_session.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from palomar_server.samples import DEMO

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).with_name("terminal-session.md")
BIN = Path(sys.executable).parent
FLOWS = 39
"""In the sample."""
START_TIMEOUT_S = 20.0
SHOWN_SOCKET = "/run/palomar/palomar.sock"
"""Where palomard is asked by default; the recording has it elsewhere."""

INTRODUCTION = """# A terminal session

Recorded by [record_terminal_session.py](record_terminal_session.py) against `palomard --replay` of
the bundled sample: a client and a web server, one port that nobody listens on and one that a
firewall guards. Tests hold the page against what the commands print. What goes to standard error
is shown among the rest.
"""

SESSION: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "What happened last, and what was dropped. Values may be short and in lower case.",
        ("palomar observe --last 4", "palomar observe --verdict drop"),
    ),
    (
        "Why it was dropped, and what to look at.",
        ("palomar observe --verdict drop --last 2 --explain", "palomar explain --to-port 8080"),
    ),
    (
        "What to leave out can be said with each filter; `--not` is there as well, as in Hubble.",
        (
            "palomar observe --pod web --not-port 80 --last 3 -o table",
            "palomar observe --pod web --not --port 80 --print-raw-filters",
        ),
    ),
    (
        "A name that no flow has is told, with those that come near.",
        ("palomar observe --pod wbe", "palomar hints pod"),
    ),
    (
        "What is asked, with `-v`.",
        ("palomar observe -v --from-pod client --protocol udp --last 1",),
    ),
    (
        "Who talks with whom, and how much; counted by the server.",
        ("palomar summary", "palomar summary --by to-port,drop-reason --verdict dropped"),
    ),
    (
        "For programs: JSON as Hubble's, whole or some fields of it, and CSV.",
        (
            "palomar observe --last 2 -o json --field-mask verdict,source.pod_name,l4.TCP",
            "palomar observe --verdict drop -o csv | cut -d , -f 1,4-6,13,21",
        ),
    ),
    (
        "A file in place of a server.",
        (
            "palomar observe --all -o jsonpb > flows.jsonl",
            "palomar observe --input-file flows.jsonl --protocol udp --first 2",
        ),
    ),
    (
        "Exit codes: 0, 1 for a failure, 2 for wrong arguments. Ctrl-C gives 0.",
        (
            "palomar observe --all | head -n 1; echo ${PIPESTATUS[0]}",
            "palomar observe --server unix:/nowhere/palomar.sock; echo $?",
            "palomar observe --verdict dorpped; echo $?",
        ),
    ),
    (
        "A script that was written for `hubble` finds what it knows.",
        (
            "export PALOMAR_STRICT_HUBBLE=1",
            "palomar observe --verdict dropped; echo $?",
            "palomar observe --verdict DROPPED --last 1",
        ),
    ),
)


def terminal_session_page() -> str:
    """Run all commands and give the page."""
    with tempfile.TemporaryDirectory() as folder, _palomard(folder) as socket:
        parts = [INTRODUCTION]
        environment = _environment(folder, socket)
        exports: list[str] = []
        for remark, commands in SESSION:
            lines = []
            for command in commands:
                said = _said("; ".join([*exports, command]), folder, environment)
                lines += [f"$ {command}", *said.replace(socket, SHOWN_SOCKET).splitlines()]
                if command.startswith("export "):
                    exports.append(command)
            text = "\n".join(line.rstrip() for line in lines)
            parts.append(f"{remark}\n\n```console\n{text}\n```\n")
    return "\n".join(parts)


@contextmanager
def _palomard(folder: str) -> Iterator[str]:
    socket = f"{folder}/palomar.sock"
    arguments = ("--replay", str(DEMO), "--speed", "max", "--socket", socket)
    daemon = subprocess.Popen(
        [str(BIN / "palomard"), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        counted = "palomar observe --all 2>&1 | wc -l"
        while _said(counted, folder, _environment(folder, socket)).strip() != str(FLOWS):
            if daemon.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"palomard does not have the {FLOWS} flows of {DEMO}")
        yield socket
    finally:
        daemon.terminate()
        daemon.wait(START_TIMEOUT_S)


def _environment(folder: str, socket: str) -> dict[str, str]:
    path = f"{BIN}:{os.environ.get('PATH', os.defpath)}"
    return {"PATH": path, "HOME": folder, "LC_ALL": "C.UTF-8", "PALOMAR_SERVER": f"unix:{socket}"}


def _said(command: str, folder: str, environment: dict[str, str]) -> str:
    """What a command prints."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=START_TIMEOUT_S,
    ).stdout


if __name__ == "__main__":
    PAGE.write_text(terminal_session_page(), encoding="utf-8")
