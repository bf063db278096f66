from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from palomar_server.options import options, settings_table
from palomar_server.setting_sources import load_settings
from palomar_server.settings import Settings


def parse(*arguments: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    command = click.Command("palomard", params=list(options()))
    with command.make_context("palomard", list(arguments)) as context:
        return context.params


def test_each_setting_has_a_flag_and_no_flag_is_without_a_setting() -> None:
    names = [option.name for option in options()]
    assert names == ["config", *Settings.model_fields]
    assert [option.opts for option in options()] == [
        [f"--{str(name).replace('_', '-')}"] for name in names
    ]


def test_what_was_not_given_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALOMARD_STREAMS_MAX", "7")
    assert set(parse().values()) <= {None, ()}


def test_parsed_flags_load() -> None:
    flags = parse(
        *("--config", "a.yaml", "--interface", "a,b", "--interface", "c", "--no-live"),
        *("--speed", "5", "--socket-mode", "600", "--coalesce-max-s", "0", "--drops", "off"),
        *("--inventory", "/i.yaml", "--listen", "[::1]:4244", "--streams-max", "3"),
    )
    assert flags.pop("config") == Path("a.yaml")
    assert load_settings(flags, environment={}) == Settings(
        interface=("a", "b", "c"),
        live=False,
        speed=5.0,
        socket_mode=0o600,
        coalesce_max_s=0.0,
        drops="off",
        inventory=Path("/i.yaml"),
        listen="[::1]:4244",
        streams_max=3,
    )


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--streams-max", "many"], "not a valid integer"),
        (["--drops", "some"], "'some' is not one of 'all', 'watched', 'off'"),
    ],
)
def test_click_refuses_what_has_the_wrong_form(arguments: list[str], what: str) -> None:
    with pytest.raises(click.BadParameter, match=what):
        parse(*arguments)


def test_help_tells_variable_default_and_gist() -> None:
    command = click.Command("palomard", params=list(options()))
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "--socket-mode TEXT Permissions of the socket, octal. [PALOMARD_SOCKET_MODE;" in text
    assert "default: 0660]" in text
    assert "--live / --no-live Capture from the kernel. [PALOMARD_LIVE; default: yes," in text
    assert "default: syn,fin,rst]" in text
    assert "[none|low|medium]" in text


def test_the_table_has_a_row_for_each_setting() -> None:
    header, rule, *rows = settings_table().splitlines()
    assert header.count("|") == rule.count("|") == 6
    assert [row.split("`")[1] for row in rows] == list(Settings.model_fields)
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
    [live] = [row for row in rows if row.startswith("| `live`")]
    assert (
        "| `--live`/`--no-live` | `PALOMARD_LIVE` | yes, unless replay or cilium_socket is given"
        " | Capture" in live
    )
