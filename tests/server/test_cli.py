"""The palomard command: settings in, exit codes and one clear line out."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import grpc
import pytest

from palomar_proto.observer import observer_pb2, observer_pb2_grpc
from palomar_server import cli
from palomar_server.samples import DEMO

if TYPE_CHECKING:
    from pathlib import Path


def palomard(*arguments: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "palomar_server", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def test_version_is_one_line() -> None:
    done = palomard("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("palomard v")


def test_help_shows_every_flag_that_others_build_on() -> None:
    text = palomard("--help").stdout
    for flag in (
        *("--socket", "--listen", "--interface", "--inventory", "--node-name", "--ring-capacity"),
        *("--record-events", "--replay", "--speed", "--no-live", "--config"),
    ):
        assert flag in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--ring-capacity", "1000"), ("ring_capacity", "1000", "1023")),
        (("--listen", "0.0.0.0:4244"), ("listen", "0.0.0.0:4244", "loopback")),
        (("--snaplen-bytes", "7"), ("snaplen_bytes", "7")),
        (("--live", "--replay", "x"), ("replay",)),
    ],
)
def test_wrong_setting_is_one_line_and_usage_error(
    arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = palomard(*arguments)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    for word in ("palomard: ", *words):
        assert word in lines[0]


def test_missing_recording_is_one_line_and_failure(tmp_path: Path) -> None:
    missing = tmp_path / "missing.events"
    done = palomard("--replay", str(missing), "--socket", str(tmp_path / "s"))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"palomard: {missing}: ")
    assert "Traceback" not in done.stderr


def test_no_source_at_all_is_an_error_that_names_both(tmp_path: Path) -> None:
    done = palomard("--no-live", "--socket", str(tmp_path / "s"))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("palomard: ")
    assert "--no-live" in line
    assert "--replay" in line


def test_unknown_hook_is_one_line_and_failure(tmp_path: Path) -> None:
    arguments = ("--replay", str(DEMO), "--socket", str(tmp_path / "s"))
    done = palomard(*arguments, "--hooks", "no_such_module:hook")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no_such_module:hook" in line


def test_socket_that_cannot_be_made_is_one_line_and_failure(tmp_path: Path) -> None:
    in_a_file = tmp_path / "file" / "s"
    in_a_file.parent.write_text("")
    done = palomard("--replay", str(DEMO), "--socket", str(in_a_file))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("palomard: ")
    assert "Traceback" not in done.stderr


def test_defect_shows_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> None:
        raise ValueError("no value anyone gave")

    monkeypatch.setattr(cli, "Daemon", fail)
    monkeypatch.setattr(cli, "_set_up_log", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["palomard", "--replay", str(DEMO)])
    with pytest.raises(ValueError, match="no value anyone gave"):
        cli.main()
    assert capsys.readouterr().err == ""


def test_debug_shows_the_traceback_of_an_expected_error(tmp_path: Path) -> None:
    arguments = ("--replay", str(tmp_path / "missing.events"), "--socket", str(tmp_path / "s"))
    assert "Traceback" in palomard("--debug", *arguments).stderr


def test_log_can_be_json(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "palomar_server", "--replay", str(DEMO)),
            *("--socket", str(tmp_path / "s"), "--log-format", "json"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = json.loads(process.stderr.readline())
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert line["level"] == "info"
    assert line["event"]


def test_log_has_no_headers_even_at_its_most_talkative(tmp_path: Path) -> None:
    path = tmp_path / "s"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "palomar_server", "--replay", str(DEMO)),
            *("--socket", str(path), "--log-level", "debug"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        while "serving" not in process.stderr.readline():
            pass
        with grpc.insecure_channel(f"unix:{path}") as channel:
            observer_pb2_grpc.ObserverStub(channel).ServerStatus(
                observer_pb2.ServerStatusRequest(),
                metadata=(("authorization", "Basic aGVyb246c2VjcmV0"),),
                timeout=20,
            )
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=20)
    assert "stopped" in rest
    assert "aGVyb246c2VjcmV0" not in rest


def test_check_says_what_there_is_and_ends_with_a_verdict() -> None:
    done = palomard("check", "--no-load")
    assert "kernel" in done.stdout
    last = done.stdout.splitlines()[-1]
    if done.returncode == 0:
        assert last == "Live capture is possible here."
    else:
        assert last.startswith("Live capture is not possible here: ")


def test_check_without_privileges_names_the_remedy() -> None:
    done = subprocess.run(
        [
            *("setpriv", "--bounding-set=-all", "--inh-caps=-all"),
            *(sys.executable, "-m", "palomar_server", "check", "--no-load"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "setpriv" in done.stderr:
        pytest.skip("setpriv may not change the bounding set here")
    assert done.returncode == 1
    assert "CAP_BPF" in done.stdout
    assert "run as root" in done.stdout
