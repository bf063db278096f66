import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without any configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "PALOMAR_SERVER", "HUBBLE_SERVER", "PALOMAR_STRICT_HUBBLE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(cli, ["config", *arguments], env=env)


def strict(*arguments: str, **env: str) -> Result:
    return run(*arguments, PALOMAR_STRICT_HUBBLE="1", **env)


def test_what_is_set_is_kept_and_used(home: Path) -> None:
    assert run("set", "server", "relay:4245").exit_code == 0
    file = home / ".config/palomar/config.yaml"
    assert file.read_text() == "server: relay:4245\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run("get", "server").stdout == "relay:4245\n"
    assert run("get", "server", PALOMAR_SERVER="other:1").stdout == "other:1\n"
    assert run("get", "server", "--server", "flag:1").stdout == "flag:1\n"


@pytest.mark.parametrize(
    ("key", "text", "line"),
    [
        ("tls", "yes", "tls: true"),
        ("timeout", "90s", "timeout: 1m30s"),
        ("port-forward-port", "0", "port-forward-port: 0"),
        ("TLS_SERVER_NAME", "x", "tls-server-name: x"),
        ("tls-ca-cert-files", "a,b", "tls-ca-cert-files:\n    - a\n    - b"),
        ("allowlist", '{"reply":[true]}', "allowlist:\n    - '{\"reply\":[true]}'"),
    ],
)
def test_values_are_written_as_what_they_are(home: Path, key: str, text: str, line: str) -> None:
    assert run("set", key, text).exit_code == 0
    assert (home / ".config/palomar/config.yaml").read_text() == f"{line}\n"


def test_reset_takes_a_setting_away_and_leaves_the_others(home: Path) -> None:
    file = home / ".config/palomar/config.yaml"
    run("set", "server", "relay:4245")
    run("set", "tls", "true")
    assert run("reset", "server").exit_code == 0
    assert file.read_text() == "tls: true\n"
    file.write_text("tls: true\nown: 1\n")
    assert run("reset").exit_code == 0
    assert file.read_text() == "own: 1\n"
    assert run("set", "own").exit_code == 0
    assert file.read_text() == "{}\n"


def test_nothing_to_reset_makes_no_file(home: Path) -> None:
    assert run("reset").exit_code == 0
    assert not (home / ".config").exists()


def test_view_shows_all_but_the_password(home: Path) -> None:
    run("set", "basic-auth-password", "hunter2")
    shown = run("view").stdout
    assert "hunter2" not in shown
    assert "server: unix:/run/palomar/palomar.sock\n" in shown
    assert "hunter2" in run("get", "basic-auth-password").stdout
    assert run("get").stdout == shown
    assert f"basic-auth-password of {home}" in run("view", "-v").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("get", "servr"), "did you mean server?"),
        (("get", "nope"), "palomar config view shows all"),
        (("get", "a", "b"), "config get takes one key, or none, not 'a b'"),
        (("set",), "config set takes a key"),
        (("set", "tls", "maybe"), "neither true nor false"),
        (("set", "timeout", "5"), "not a duration"),
        (("set", "port-forward-port", "http"), "no port"),
        (("set", "config", "x"), "cannot be set in the file"),
        (("nope",), "No such command"),
    ],
)
def test_wrong_arguments_are_2(arguments: tuple[str, ...], words: str) -> None:
    ended = run(*arguments)
    assert ended.exit_code == 2
    assert words in ended.stderr


def test_broken_file_is_told(home: Path) -> None:
    file = home / ".config/palomar/config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("a: [")
    for arguments in (("view",), ("get", "server"), ("set", "server", "x:1")):
        ended = run(*arguments)
        assert ended.exit_code == 2
        assert "no YAML" in ended.stderr
    assert file.read_text() == "a: ["


# How `hubble config` of 1.19.4 does; beyond the recorded cases, as its source says.
@pytest.mark.parametrize(
    ("arguments", "stdout", "stderr"),
    [
        (("get", "port-forward-port"), '"4245"\n', ""),
        (("get", "timeout"), "5s\n", ""),
        (("get", "tls-ca-cert-files"), "[]\n", ""),
        (("get", "kubeconfig"), '""\n', ""),
        (("get", "verbose"), "", "unknown key: verbose"),
        (("get", "Server"), "", "unknown key: Server"),
        (("get", "a", "b"), "", "config get takes one key, or none"),
        (("set", "port-forward-port", "1"), "", "port-forward-port cannot be set by hubble"),
        (("set", "timeout", "1x"), "", 'time: unknown unit "xns" in duration "1xns"'),
        (("reset",), "", "port-forward-port cannot be set by hubble"),
        (("set", "server", "x", "--config", "bare"), "", "bare is not written, since its name"),
        (("get", "config", "--config", ""), '""\n', ""),
        (("set", "tls", "true", "--config", ""), "", "--config names no file"),
    ],
)
def test_dialect_of_hubble(arguments: tuple[str, ...], stdout: str, stderr: str) -> None:
    ended = strict(*arguments)
    assert ended.exit_code == (1 if stderr else 0)
    assert ended.stdout == stdout
    assert stderr in ended.stderr


def test_dialect_of_hubble_writes_defaults_out(home: Path) -> None:
    file = home / ".config/hubble/config.yaml"
    assert strict("set", "timeout", "5").exit_code == 0
    assert strict("reset", "server").exit_code == 0
    assert file.read_text() == "server: localhost:4245\ntimeout: 5ns\n"


def test_dialect_of_hubble_answers_with_help() -> None:
    for arguments in ((), ("nope",)):
        ended = strict(*arguments)
        assert ended.exit_code == 0
        assert "Usage:" in ended.stdout


def test_dialect_of_hubble_shows_what_it_found(home: Path) -> None:
    file = home / ".config/hubble/config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("own: [1]\n")
    shown = strict("view", HUBBLE_TLS="true").stdout
    assert 'tls: "true"\n' in shown
    assert "own:\n    - 1\n" in shown
    assert "verbose" not in shown
    ended = strict("get", "own")
    assert (ended.exit_code, "key=own not bound to a flag" in ended.stderr) == (1, True)
