from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.commands.invocation import Invocation
from palomar.commands.server_options import add_settings, server_options
from palomar.configuration import SETTINGS
from palomar.testing import FakeObserver, make_response


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "PALOMAR_SERVER", "HUBBLE_SERVER", "PALOMAR_STRICT_HUBBLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def heard(*arguments: str) -> dict[str, object]:
    """The flags that a command with the options hears of."""
    flags: dict[str, object] = {}

    @click.command
    @server_options
    @click.pass_context
    def command(ctx: click.Context, /) -> None:
        flags.update(Invocation.of(ctx).flags)

    ended = CliRunner().invoke(command, arguments)
    assert ended.exit_code == 0, ended.stderr
    return flags


def status(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(cli, ["status", *arguments], env=env)


@pytest.mark.parametrize("variable", ["PALOMAR_SERVER", "HUBBLE_SERVER"])
def test_environment_names_the_server(variable: str) -> None:
    with FakeObserver([make_response()]) as server:
        ended = CliRunner().invoke(cli, ["observe"], env={variable: server.target})
    assert ended.exit_code == 0


@pytest.mark.parametrize("text", ["5", "0s", "-1s", "soon"])
@pytest.mark.parametrize("flag", ["--timeout", "--request-timeout"])
def test_timeout_is_a_positive_duration(flag: str, text: str) -> None:
    ended = status(flag, text)
    assert ended.exit_code == 2
    assert "is not a duration" in ended.stderr
    ended = status(PALOMAR_TIMEOUT=text)
    assert ended.exit_code == 2
    assert "PALOMAR_TIMEOUT" in ended.stderr


def test_only_what_was_given_is_heard() -> None:
    assert heard() == {}
    assert heard("--tls", "--server", "h:1", "-v") == {
        "tls": True, "server": "h:1", "verbose": True,
    }  # fmt: skip
    assert heard("--tls", "--tls-ca-cert-files", "a,b", "--tls-ca-cert-files", "c") == {
        "tls": True, "tls-ca-cert-files": ["a", "b", "c"],
    }  # fmt: skip


def test_every_setting_has_its_flag() -> None:
    command = click.Command("x")
    add_settings(command)
    named = {flag for parameter in command.params for flag in parameter.opts}
    assert {f"--{name}" for name in SETTINGS} <= named
    assert {"--config", "--view", "--strict-hubble"} <= named


def test_settings_are_added_once_and_own_flags_kept() -> None:
    own = click.Option(["-D", "--debug"], is_flag=True)
    below = click.Command("below")
    group = click.Group("group", commands=[below], params=[own])
    add_settings(group)
    count = len(group.params)
    add_settings(group)
    assert len(group.params) == count
    assert group.params[0] is own
    assert any(parameter.name == "server" for parameter in below.params)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--server", "{}", "observe"),
        ("observe", "--server", "{}"),
        ("--server", "unix:/nope", "observe", "--server", "{}"),
        ("--strict-hubble", "--tls=false", "--server={}", "observe"),
        ("observe", "--server", "{}", "flows", "--strict-hubble"),
        ("status", "--tls=false", "--server", "{}", "-D=false"),
    ],
)
def test_options_stand_before_or_behind_the_command(arguments: tuple[str, ...]) -> None:
    with FakeObserver([make_response()]) as server:
        ended = CliRunner().invoke(cli, [text.format(server.target) for text in arguments])
    assert (ended.exit_code, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--basic-auth-username", "x"), "a user name and its password"),
        (("--tls-client-key-file", "x"), "and its key go together"),
        (("--server", "nonsense"), "neither unix:PATH nor HOST:PORT"),
        (("--port-forward-port", "x", "-P"), "no port"),
        (("--view", "../x"), "is no name"),
        (("--config", "/nonexistent/x.yaml"), "No such file"),
    ],
)
def test_settings_that_do_not_fit_are_told_before_anything_else(
    arguments: tuple[str, ...], words: str
) -> None:
    ended = CliRunner().invoke(cli, ["observe", *arguments])
    assert ended.exit_code == 2
    assert words in ended.stderr
    ended = CliRunner().invoke(cli, ["--strict-hubble", "observe", *arguments, "--timeout", "1s"])
    assert ended.exit_code == 1


def test_view_is_a_file_of_settings(home: Path) -> None:
    with FakeObserver([make_response()]) as server:
        view = home / ".config/palomar/views/mine.yaml"
        view.parent.mkdir(parents=True)
        view.write_text(f"server: {server.target}\n")
        assert CliRunner().invoke(cli, ["observe", "--view", "mine"]).exit_code == 0
