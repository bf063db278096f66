"""deploy/system-packages: what apt cannot bring is said, and stops only what needs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "system-packages"


@pytest.fixture
def broken_apt(tmp_path: Path) -> Path:
    """A folder for PATH: whoever looks is root, and apt-get fails and notes how it was called."""
    for name, text in {
        "id": "echo 0",
        "apt-get": f'echo "$*" >>{tmp_path}/calls; echo "E: no lock" >&2; exit 100',
    }.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    return tmp_path


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": f"{folder}:{os.environ['PATH']}", **environment},
    )


def test_failing_apt_is_told_and_no_error_where_an_environment_is_there(broken_apt: Path) -> None:
    done = run(broken_apt, PYTHON="false", VENV=str(Path(sys.prefix)))
    assert done.returncode == 0
    assert "python3-venv: without it, no virtual environment" in done.stdout
    assert "E: no lock" in done.stderr


def test_without_any_way_to_an_environment_it_fails(broken_apt: Path) -> None:
    done = run(broken_apt, PYTHON="false", VENV=str(broken_apt / "none"))
    assert done.returncode == 1
    assert "to install: as root, apt-get install" in done.stdout


def test_one_package_that_cannot_be_had_does_not_keep_out_the_others(broken_apt: Path) -> None:
    run(broken_apt, PYTHON="false", VENV=str(broken_apt / "none"))
    calls = (broken_apt / "calls").read_text().splitlines()
    assert calls[0].endswith("update")
    assert calls[-1].endswith("--no-install-recommends python3-venv")
