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
from pathlib import Path

from palomar_bpf.check import check_machine, missing
from palomar_server.samples import DEMO

BIN = Path(sys.executable).parent
START_TIMEOUT_S = 20


def source() -> list[str]:
    """The arguments that say where events come from; tells the user about it."""
    lacks = missing(check_machine())
    if not lacks:
        print("Watching this machine; Ctrl-C ends it.", flush=True)
        return []
    print("Live capture is not possible here:")
    for lack in lacks:
        print(f"  {lack.name}: {lack.detail}; {lack.remedy}")
    print("Playing a recording of `make demo` instead; Ctrl-C ends it.", flush=True)
    return ["--replay", str(DEMO), "--speed", "recorded"]


def main() -> int:
    """Run both programs; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="palomar-") as folder:
        server = f"unix:{folder}/palomar.sock"
        daemon = subprocess.Popen(
            [
                str(BIN / "palomard"),
                *("--socket", f"{folder}/palomar.sock", "--log-level", "warning"),
                *source(),
                *sys.argv[1:],
            ],
            # Ctrl-C is for the client, which ends in order; the daemon is told afterwards.
            start_new_session=True,
        )
        try:
            with contextlib.suppress(KeyboardInterrupt):
                if not wait_until_up(daemon, server):
                    return daemon.wait() or 1
                command = [str(BIN / "palomar"), "observe", "--follow", "--last", "1000"]
                return subprocess.run([*command, "--server", server], check=False).returncode
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(START_TIMEOUT_S)
    return 0


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
