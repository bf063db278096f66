"""Two pods, real traffic between them, and what palomar says about it.

Makes the network namespaces `web` and `client`, joined by veth pairs through this host; opens a
connection that works, one to a closed port and one that nftables drops; shows what `palomar
observe` prints and what `palomar record` has of the drops; removes everything it made. Needs root.
Run it with `make demo`.

`--record-sample` also writes the recording that newcomers without eBPF get to see, and the flows
that were seen while it was made, against which the tests hold its replay.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.check import check_machine, missing
from palomar_bpf.testbed import Testbed, TestbedError
from palomar_server.event_file import EventFileReader, EventFileWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "server" / "palomar_server" / "samples" / "demo.events"
SAMPLE_FLOWS = ROOT / "tests" / "e2e" / "demo_flows.jsonl"
BIN = Path(sys.executable).parent

SOCKET = "palomar.sock"
DROPS = "--pod web --verdict drop"
OPEN_PORT, CLOSED_PORT, DROPPED_PORT = "80", "81", "8080"
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 20
SAMPLE_BYTES_MAX = 1 << 20
SETTLE_S = 0.5
"""For the last packets of a connection that was just closed."""


@contextmanager
def palomard(*arguments: str, socket: Path) -> Iterator[None]:
    """Run palomard until the context ends; its log shows only if it fails."""
    command = [str(BIN / "palomard"), "--socket", str(socket), *arguments]
    with tempfile.TemporaryFile("w+") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            deadline_s = time.monotonic() + START_TIMEOUT_S
            while subprocess.run(
                [str(BIN / "palomar"), "status", "--server", f"unix:{socket}"],
                capture_output=True,
                check=False,
            ).returncode:
                if daemon.poll() is not None or time.monotonic() > deadline_s:
                    output.seek(0)
                    raise SystemExit(f"palomard did not start:\n{output.read()}")
                time.sleep(0.1)
            yield
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(START_TIMEOUT_S)


def make_traffic(testbed: Testbed) -> list[tuple[str, str]]:
    """Talk to the web pod; return what was tried and what came of it."""
    web, client = testbed["web"], testbed["client"]
    web.drop_port(int(DROPPED_PORT))
    done = []
    with web.serve(int(OPEN_PORT)):
        for what, *arguments in (
            ("IPv6 TCP to an open port", "connect", web.ipv6, OPEN_PORT),
            ("IPv6 TCP to a port that nftables drops", "connect", web.ipv6, DROPPED_PORT),
            ("ping", "ping", web.ipv4),
            ("UDP", "udp", web.ipv4, OPEN_PORT),
            # Last, so that the 20 flows that `palomar observe` shows are these and the ones above.
            ("TCP to an open port", "connect", web.ipv4, OPEN_PORT),
            ("TCP to a closed port", "connect", web.ipv4, CLOSED_PORT),
            ("TCP to a port that nftables drops", "connect", web.ipv4, DROPPED_PORT),
        ):
            done.append((what, client.traffic(*arguments)))
        time.sleep(SETTLE_S)
    return done


@contextmanager
def recorded(command: str, folder: Path) -> Iterator[None]:
    """Run a `palomar record` until the context ends; then print the command and what it said."""
    recording = subprocess.Popen(
        shlex.split(command),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        # Its first line says that packets are taken from now on, or why they are not.
        said = cast("IO[str]", recording.stdout).readline()
        yield
    finally:
        recording.send_signal(signal.SIGINT)
        rest, _ = recording.communicate(timeout=STOP_TIMEOUT_S)
    print(f"\n$ {command}\n{said}{rest}", end="", flush=True)


def show(command: str, folder: Path) -> str:
    """Run a command, print it and what it says, and return that."""
    print(f"\n$ {command}", flush=True)
    done = subprocess.run(
        shlex.split(command),
        cwd=folder,
        env=environment(folder),
        check=True,
        capture_output=True,
        text=True,
    )
    print(done.stdout, end="", flush=True)
    return done.stdout


def environment(folder: Path) -> dict[str, str]:
    """What lets `palomar` be found, and lets it find the palomard of the demo."""
    path = f"{BIN}:{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, "PALOMAR_SERVER": f"unix:{folder / SOCKET}"}


def demo(*, record_sample: bool) -> None:
    """Do all of it."""
    with tempfile.TemporaryDirectory(prefix="palomar-demo-") as name:
        folder = Path(name)
        events = folder / "demo.events"
        with Testbed(("web", "client")) as testbed:
            arguments = [
                *("--interface", testbed.interface_glob, "--drops", "watched"),
                *("--node-name", "demo", "--recordings-directory", str(folder / "recordings")),
                *("--database-url", f"sqlite+aiosqlite:///{folder / 'palomar.db'}"),
            ]
            if record_sample:
                arguments += ("--record-events", str(events))
            with palomard(*arguments, socket=folder / SOCKET):
                with recorded(f"palomar record {DROPS} -w drops.pcapng", folder):
                    for what, result in make_traffic(testbed):
                        print(f"{what}: {result}")
                    show("palomar observe", folder)
                    show(f"palomar observe {DROPS}", folder)
                if shutil.which("tshark"):
                    show("tshark -r drops.pcapng -T fields -e frame.comment", folder)
                if record_sample:
                    flows = show("palomar observe --all -o jsonpb", folder)
        if record_sample:
            SAMPLE.parent.mkdir(exist_ok=True)
            copy_without_host(events, SAMPLE)
            SAMPLE_FLOWS.write_text(flows)
            print(f"\n{SAMPLE.relative_to(ROOT)}: {SAMPLE.stat().st_size:,} bytes")


def copy_without_host(recording: Path, sample: Path) -> None:
    """Copy a recording, but for the addresses of the machine it was made on."""
    writer = EventFileWriter(sample, SAMPLE_BYTES_MAX, overwrite=True)
    for item in EventFileReader(recording):
        if isinstance(item, PayloadBatch):
            writer.write_batch(item)
        else:
            item.get("endpoints", {}).pop("host", None)
            writer.write_context(item)
    if writer.stopped:
        raise SystemExit(f"the sample is not whole: {writer.stopped}")
    writer.close()
    sample.chmod(0o644)


def main() -> None:
    """Run the demo where eBPF works; elsewhere say what is missing."""
    if lacks := missing(check_machine(try_load=True)):
        print("The demo needs live capture, which is not possible here:")
        for lack in lacks:
            print("  " + "; ".join(filter(None, (f"{lack.name}: {lack.detail}", lack.remedy))))
        raise SystemExit(1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # As an exception, so that everything made is removed on the way out.
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    try:
        demo(record_sample="--record-sample" in sys.argv[1:])
    except TestbedError as error:
        raise SystemExit(f"demo: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None


if __name__ == "__main__":
    main()
