"""The committed stubs are what the generator makes of the .proto files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GENERATE = Path(__file__).resolve().parents[2] / "proto" / "generate.py"


def test_committed_stubs_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(GENERATE), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_edited_proto_file_is_noticed(tmp_path: Path) -> None:
    copy = tmp_path / "proto"
    copy.mkdir()
    (copy / "generate.py").write_text(GENERATE.read_text())
    source = GENERATE.parent / "palomar_proto/palomar/v1/loss.proto"
    target = copy / "palomar_proto/palomar/v1/loss.proto"
    target.parent.mkdir(parents=True)
    target.write_text(source.read_text())
    run = [sys.executable, str(copy / "generate.py")]
    assert subprocess.run(run, check=False, capture_output=True).returncode == 0
    assert subprocess.run([*run, "--check"], check=False, capture_output=True).returncode == 0
    target.write_text(source.read_text() + "message Added {}\n")
    stale = subprocess.run([*run, "--check"], check=False, capture_output=True, text=True)
    assert stale.returncode == 1
    assert "loss_pb2.py" in stale.stderr
