"""Start palomard on this machine and print flows as they happen, until Ctrl-C.

Where live capture is not possible, say what is missing and play the bundled recording instead.
Run it with `make run`; arguments go to palomard.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from palomar_bpf.check import Finding, check_machine, missing
from palomar_server.samples import DEMO

BIN = Path(sys.executable).parent
START_TIMEOUT_S = 20
SAMPLE = ("--replay", str(DEMO), "--speed", "recorded")
EXIT_FAILED = 1
"""What palomard ends with where it could not run; wrong settings give another code."""


def main() -> int:
    """Watch this machine, or else the recording; return the exit code."""
    arguments = sys.argv[1:]
    # Ended any other way than by Ctrl-C it must not leave palomard behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if any(argument.startswith(("--replay", "--no-live")) for argument in arguments):
        return watch(*arguments).code
    lacks = missing(check_machine())
    if not lacks:
        print("Watching this machine; Ctrl-C ends it.", flush=True)
        ended = watch(*arguments)
        if ended.served or ended.code != EXIT_FAILED:
            return ended.code
        # Capabilities can look right and yet not be the kernel's, as in a rootless container.
        # palomard has said what failed; trying to load the programs tells more of the cause.
        lacks = missing(check_machine(try_load=True))
    explain(lacks)
    return watch(*SAMPLE, *arguments).code


def explain(lacks: list[Finding]) -> None:
    """Say why there is a recording to see and not this machine."""
    print("Live capture is not possible here:")
    for lack in lacks:
        print("  " + "; ".join(filter(None, (f"{lack.name}: {lack.detail}", lack.remedy))))
    if not lacks:
        print("  palomard did not start; its error is above")
    print("Playing a recording of `make demo` instead; Ctrl-C ends it.", flush=True)


@dataclass(frozen=True, slots=True)
class Ended:
    """How it went."""

    code: int
    """Exit code of palomard if it did not come up, else of the client."""
    served: bool
    """Whether palomard came up."""


def watch(*arguments: str) -> Ended:
    """Run palomard with these arguments and a client that prints, until Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="palomar-") as folder:
        server = f"unix:{folder}/palomar.sock"
        daemon = subprocess.Popen(
            [
                str(BIN / "palomard"),
                *("--socket", f"{folder}/palomar.sock", "--log-level", "warning"),
                *arguments,
            ],
            # Ctrl-C is for the client, which ends in order; the daemon is told afterwards.
            start_new_session=True,
        )
        try:
            with contextlib.suppress(KeyboardInterrupt):
                if not wait_until_up(daemon, server):
                    return Ended(daemon.poll() or EXIT_FAILED, served=False)
                command = [str(BIN / "palomar"), "observe", "--follow", "--last", "1000"]
                done = subprocess.run([*command, "--server", server], check=False)
                return Ended(done.returncode, served=True)
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(START_TIMEOUT_S)
    return Ended(0, served=True)


def wait_until_up(daemon: subprocess.Popen[bytes], server: str) -> bool:
    """Wait until palomard answers; False if it has ended instead."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    status = [str(BIN / "palomar"), "status", "--server", server]
    while time.monotonic() < deadline_s and daemon.poll() is None:
        if subprocess.run(status, capture_output=True, check=False).returncode == 0:
            return True
        time.sleep(0.1)
    return False


if __name__ == "__main__":
    sys.exit(main())
