"""What docs/command-line.md says: its commands, formats and flags are those there are."""

from __future__ import annotations

import re
from pathlib import Path

import click

from palomar.cli import cli
from palomar.commands.observe import flows
from palomar.commands.record import record
from palomar.commands.selection_options import FORMATS

PAGE = (Path(__file__).resolve().parents[2] / "docs/command-line.md").read_text(encoding="utf-8")
HIDDEN_FORMATS = {"JSON", "tab"}


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def first_column(text: str) -> list[str]:
    cells = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_command_is_told_and_no_other() -> None:
    ctx = click.Context(cli)
    commands = {name: cli.get_command(ctx, name) for name in cli.list_commands(ctx)}
    shown = [name for name, command in commands.items() if command and not command.hidden]
    assert sorted(first_column(PAGE.split("\n## ")[0])) == sorted(shown)


def test_every_format_is_told_and_no_other() -> None:
    told = [name for name in first_column(section("Formats")) if name != "-o"]
    assert sorted(told) == sorted(set(FORMATS) - HIDDEN_FORMATS)


def test_every_flag_is_one_of_observe_or_record() -> None:
    told = set(re.findall(r"(--[a-z][a-z-]*[a-z])(?![a-z-])", PAGE))
    parameters = (*flows.params, *record.params, *cli.params)
    known = {flag for parameter in parameters for flag in parameter.opts}
    plain = {f"--{flag.removeprefix('--not-')}" if "--not-" in flag else flag for flag in told}
    assert plain - known == {"--help"}
