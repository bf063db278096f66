"""`make run`: where the kernel refuses eBPF, the bundled recording plays instead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from palomar_server.samples import DEMO

RUN = Path(__file__).resolve().parents[2] / "deploy" / "run.py"


def test_without_rights_of_the_kernel_it_says_so_and_plays_the_recording() -> None:
    # Root of a user namespace of its own: every capability, and none that eBPF asks for.
    in_namespace = ("unshare", "--user", "--map-root-user")
    if subprocess.run([*in_namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are not allowed here")
    process = subprocess.Popen(
        [*in_namespace, sys.executable, RUN],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if " -> " in line or " <> " in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    text = "".join(lines)
    assert "Live capture is not possible here:" in text
    assert "Playing a recording" in text
    assert "Traceback" not in text
    assert process.returncode == 0, text


def test_wrong_setting_ends_it_without_a_recording() -> None:
    done = subprocess.run(
        [sys.executable, RUN, "--ring-capacity", "1000"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "Watching this machine" not in done.stdout:
        pytest.skip("live capture is not even tried here")
    assert done.returncode == 2
    assert "Playing" not in done.stdout
    assert "ring_capacity" in done.stderr


def test_terminated_it_leaves_no_palomard_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, RUN, "--replay", DEMO, "--speed", "max"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    assert list(tmp_path.glob("palomar-*/palomar.sock"))
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []
