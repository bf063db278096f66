"""How a run of the tool ends, in this process and as a program of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import grpc
import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.testing import FakeObserver, make_response

PALOMAR = (sys.executable, "-m", "palomar")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def strict(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, env={"PALOMAR_STRICT_HUBBLE": "1"})


def test_done_is_0() -> None:
    with FakeObserver([make_response()]) as server:
        ended = run("observe", "--server", server.target)
    assert (ended.exit_code, ended.stderr) == (0, "")


def test_absent_server_is_1_and_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    for command in ("observe", "status"):
        ended = run(command, "--server", f"unix:{tmp_path}/x.sock")
        assert ended.exit_code == 1
        assert ended.stdout == ""
        assert ended.stderr.count("\n") == 1
        assert f"unix:{tmp_path}/x.sock" in ended.stderr
        assert "is palomard running?" in ended.stderr


def test_debug_adds_the_traceback(tmp_path: Path) -> None:
    ended = run("observe", "-D", "--server", f"unix:{tmp_path}/x.sock")
    assert ended.exit_code == 1
    assert "Traceback" in ended.stderr


@pytest.mark.parametrize("command", ["observe", "status"])
def test_traceback_cannot_steer_the_terminal(command: str) -> None:
    with FakeObserver(error=(grpc.StatusCode.INTERNAL, "a\x1b[2Jb\rc\x9b")) as server:
        # click takes away what a terminal knows as colours, unless it is told to leave it.
        ended = CliRunner().invoke(cli, (command, "-D", "--server", server.target), color=True)
    assert "Traceback" in ended.stderr
    assert "a^[[2Jb" in ended.stderr
    assert not {"\x1b", "\r", "\x9b"} & {*ended.stderr}


@pytest.mark.parametrize(
    "arguments",
    [("nope",), ("observe", "--nope"), ("observe", "extra"), ("observe", "--verdict", "nope"),
     ("observe", "--server", "nonsense"), ("observe", "--since", "bad"),
     ("observe", "-f", "-o", "table"), ("observe", "--timeout", "5"), ("status", "-o", "yaml")],
)  # fmt: skip
def test_wrong_arguments_are_2(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.exit_code == 2
    assert "Usage:" in ended.stderr


def test_error_of_the_server_comes_after_what_had_arrived() -> None:
    with FakeObserver(
        [make_response()], error=(grpc.StatusCode.INTERNAL, "inter\x1bnal")
    ) as server:
        ended = run("observe", "--server", server.target)
    assert ended.exit_code == 1
    assert ended.stdout.count("\n") == 1
    assert "inter^[nal" in ended.stderr


def test_help_names_every_command() -> None:
    ended = run("--help")
    assert all(command in ended.stdout for command in ("observe", "status", "version"))


def test_help_loads_nothing_that_takes_long() -> None:
    heavy = (
        "grpc",
        "google.protobuf",
        "yaml",
        "rich",
        "asyncio",
        "ssl",
        "importlib.metadata",
        "json",
    )
    program = (
        "import sys, palomar.cli as c\n"
        "try: c.cli(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('loaded:', *(name for name in {heavy!r} if name in sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert ended.stdout.splitlines()[-1] == "loaded:"


def test_command_loads_no_other(plain_environment: dict[str, str]) -> None:
    program = (
        "import sys, palomar.cli as c\n"
        "try: c.cli(['version'])\n"
        "except SystemExit: pass\n"
        "print(*sorted(name for name in sys.modules if name.startswith('palomar.commands.')))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=plain_environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert "palomar.commands.observe" not in ended.stdout.split()


def test_every_command_of_the_table_is_there() -> None:
    ctx = click.Context(cli)
    for name in cli.list_commands(ctx):
        command = cli.get_command(ctx, name)
        assert command is not None, name
        assert command.name == name
        assert command.short_help or command.hidden


@pytest.mark.parametrize(
    "arguments", [(), ("-D",), ("-v",), ("--version",), ("version",), ("--help",)]
)
def test_dialect_of_hubble_answers_questions(arguments: tuple[str, ...]) -> None:
    ended = run("--strict-hubble", *arguments) if arguments else strict()
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("nope",), 'unknown command "nope" for "palomar"'), (("--nope",), "--nope"),
     (("observe", "--nope"), "unknown flag: --nope"), (("observe", "--color"), "needs an argument"),
     (("observe", "--request-timeout", "5"), 'time: missing unit in duration "5"')],
)  # fmt: skip
def test_wrong_arguments_are_1_and_one_line_in_the_dialect_of_hubble(
    arguments: tuple[str, ...], words: str
) -> None:
    ended = strict(*arguments)
    assert ended.exit_code == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert words in ended.stderr


def test_wrong_settings_do_not_hide_errors() -> None:
    ended = CliRunner().invoke(cli, ["monitor", "--socket", ""], env={"PALOMAR_DEBUG": "maybe"})
    assert ended.exit_code == 1
    assert "no path of a socket" in ended.stderr


def test_module_runs_as_a_program(plain_environment: dict[str, str]) -> None:
    with FakeObserver([make_response(), make_response()]) as server:
        ended = subprocess.run(
            [*PALOMAR, "observe", "-o", "json"],
            env=plain_environment | {"PALOMAR_SERVER": server.target},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [json.loads(line)["flow"]["verdict"] for line in ended.stdout.splitlines()] == [
        "FORWARDED"
    ] * 2


@pytest.mark.parametrize("follow", [[], ["-f"]], ids=["all", "follow"])
def test_reader_that_goes_away_is_no_error(
    plain_environment: dict[str, str], follow: list[str]
) -> None:
    with FakeObserver([make_response()] * 3000) as server:
        program = subprocess.Popen(
            [*PALOMAR, "observe", *follow, "--server", server.target],
            env=plain_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert program.stdout is not None
        assert program.stderr is not None
        assert b"FORWARDED" in program.stdout.readline()
        program.stdout.close()
        errors = program.stderr.read()
        program.stderr.close()
        assert (program.wait(timeout=30), errors) == (0, b"")


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_that_nobody_reads_or_that_finds_no_room(
    argument: str, plain_environment: dict[str, str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    full = os.open("/dev/full", os.O_WRONLY)
    codes = []
    try:
        for place in (write, full):
            done = subprocess.run(
                [*PALOMAR, argument],
                stdout=place,
                stderr=subprocess.PIPE,
                env=plain_environment,
                check=False,
                timeout=60,
            )
            codes.append(done.returncode)
            assert b"Traceback" not in done.stderr
    finally:
        os.close(write)
        os.close(full)
    assert codes == [0, 1]
    assert done.stderr == b"palomar: cannot write the output: No space left on device\n"


def test_ctrl_c_ends_a_followed_stream_quietly(plain_environment: dict[str, str]) -> None:
    with FakeObserver([make_response()], hold=True) as server:
        program = subprocess.Popen(
            [*PALOMAR, "observe", "-f", "--server", server.target],
            env=plain_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert program.stdout is not None
        assert b"FORWARDED" in program.stdout.readline()
        os.kill(program.pid, signal.SIGINT)
        output, errors = program.communicate(timeout=30)
    assert (program.returncode, output, errors) == (0, b"", b"")


@pytest.mark.parametrize(
    ("words", "usage"),
    [((), "palomar [OPTIONS]"), (("nope",), "palomar [OPTIONS]"), (("status",), "palomar status"),
     (("list", "nodes"), "palomar list nodes"), (("status", "x"), "palomar status")],
)  # fmt: skip
def test_help_is_a_command_in_the_dialect_of_hubble(words: tuple[str, ...], usage: str) -> None:
    ended = CliRunner().invoke(
        cli, ("help", *words), env={"PALOMAR_STRICT_HUBBLE": "1"}, prog_name="palomar"
    )
    assert ended.exit_code == 0
    assert f"Usage: {usage}" in ended.stdout


def test_watch_has_a_second_name() -> None:
    assert (
        run("w", "peers", "--help").stdout.splitlines()[1:]
        == (run("watch", "peers", "--help").stdout.splitlines()[1:])
    )
