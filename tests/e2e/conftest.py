"""A real palomard, a real palomar, real pods."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from palomar_bpf.testbed import Testbed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BIN = Path(sys.executable).parent
DEADLINE_S = 20.0
POLL_S = 0.05

Flow = dict[str, Any]


def eventually(condition: Callable[[], Any]) -> Any:
    """The first true value of `condition`; fails after a while without one."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        if time.monotonic() > deadline_s:
            pytest.fail(f"still not after {DEADLINE_S} s: {condition}")
        time.sleep(POLL_S)
    return value


@dataclass
class Palomard:
    """A running daemon."""

    socket: Path
    arguments: tuple[str, ...]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(BIN / "palomard"), "--socket", str(self.socket), *self.arguments],
                stdout=log,
                stderr=log,
            )
        eventually(lambda: self.process.poll() is not None or self._serves())
        assert self.process.poll() is None, self.log.read_text()

    def _serves(self) -> bool:
        return self.socket.exists() and self.palomar("status", check=False).returncode == 0

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def palomar(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "palomar"), *arguments, "--server", f"unix:{self.socket}"],
            capture_output=True,
            text=True,
            check=check,
            timeout=DEADLINE_S,
        )

    @contextlib.contextmanager
    def following(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A `palomar observe --follow`, until the end of the context."""
        server = ("--server", f"unix:{self.socket}")
        command = [str(BIN / "palomar"), "observe", "--follow", *arguments, *server]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.terminate()

    def responses(self, *arguments: str) -> list[dict[str, Any]]:
        """What `palomar observe` prints as JSON."""
        done = self.palomar("observe", *(arguments or ("--all",)), "-o", "jsonpb")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def flows(self, *arguments: str) -> list[Flow]:
        return [one["flow"] for one in self.responses(*arguments) if "flow" in one]


@pytest.fixture
def palomard(tmp_path: Path) -> Iterator[Callable[..., Palomard]]:
    """Starts daemons, and stops them at the end."""
    started: list[Palomard] = []

    def start(*arguments: str) -> Palomard:
        folder = tmp_path / f"palomard-{len(started)}"
        folder.mkdir()
        daemon = Palomard(folder / "palomar.sock", arguments, folder / "log")
        started.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in started:
        with contextlib.suppress(AttributeError):
            daemon.stop()


@pytest.fixture
def testbed(live: None) -> Iterator[Testbed]:
    """Two pods of this process's own; other palomards on the machine do not matter to them."""
    with Testbed((f"plm-web-{os.getpid()}", f"plm-client-{os.getpid()}")) as testbed:
        yield testbed
