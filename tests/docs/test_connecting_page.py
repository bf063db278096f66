"""What docs/connecting.md says: its flags are those there are, its session runs as it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from palomar.cli import cli
from palomar.configuration import SETTINGS, Configuration

PAGE = (Path(__file__).resolve().parents[2] / "docs/connecting.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "PALOMAR_SERVER", "HUBBLE_SERVER", "PALOMAR_STRICT_HUBBLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_every_setting_is_told_and_no_other() -> None:
    told = set(re.findall(r"--([a-z][a-z-]+)", PAGE))
    others = {"config", "view", "strict-hubble", "verdict", "print-raw-filters"}
    assert told == {*SETTINGS, *others}
    named = {flag for parameter in cli.params for flag in parameter.opts}
    assert {f"--{name}" for name in (*SETTINGS, "config", "view", "strict-hubble")} <= named


def test_files_are_those_that_are_looked_for(home: Path) -> None:
    told = re.findall(r"^    (\S+/config\.yaml)", PAGE, re.MULTILINE)
    places = [
        Path(text.replace("$XDG_CONFIG_HOME", "~/.config").replace("~", str(home))) for text in told
    ]
    for path in reversed(places):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        assert Configuration().file == path
    assert Configuration().file_to_write == places[0]


def test_session_runs_as_shown(home: Path) -> None:
    lines = [line[4:] for line in PAGE.splitlines() if line.startswith("    ")]
    commands = [line[2:] for line in lines if line.startswith("$ palomar config")]
    shown, said = [line for line in lines if not line.startswith("$")], []
    for command in commands:
        ended = CliRunner().invoke(cli, shlex.split(command)[1:])
        assert ended.exit_code == 0
        said += ended.stdout.splitlines()
    assert said
    assert [line for line in shown if line in said] == said


def test_view_is_made_as_shown(home: Path) -> None:
    view = home / ".config/palomar/views/drops.yaml"
    view.parent.mkdir(parents=True)
    made = CliRunner().invoke(cli, ["observe", "--verdict", "dropped", "--print-raw-filters"])
    view.write_text(made.stdout)
    used = CliRunner().invoke(cli, ["observe", "--view", "drops", "--print-raw-filters"])
    assert "DROPPED" in used.stdout
    assert used.stdout == made.stdout
