"""The installed console script `palomar`: exit codes, what goes where, pipes, Ctrl-C, and start."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from palomar.testing import FakeObserver, make_response
from palomar_server.samples import DEMO
from tests.client.certificates import Authority

from .conftest import BIN, DEADLINE_S, Palomard, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

FLOWS = 39
"""In the bundled sample."""
PALOMAR = str(BIN / "palomar")
NOT_FOR_ONE_FLOW = frozenset(
    {"asyncio", "ssl", "rich", "yaml", "grpc.aio", "numpy", "importlib.metadata", "subprocess"}
)
"""Modules that take long to load, and that showing flows can do without."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Palomard]:
    """A palomard with the flows of the bundled sample."""
    folder = tmp_path_factory.mktemp("palomard")
    daemon = Palomard(
        folder / "palomar.sock", ("--replay", str(DEMO), "--speed", "max"), folder / "log"
    )
    daemon.start()
    eventually(lambda: len(daemon.flows()) == FLOWS)
    yield daemon
    daemon.stop()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Without settings of whoever runs the tests, and with Python's own buffering."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PALOMAR", "HUBBLE_", "PYTHON", "XDG_"))
    }
    return {**kept, "HOME": str(tmp_path)}


@pytest.fixture
def tool(daemon: Palomard, environment: dict[str, str], tmp_path: Path) -> Tool:
    return Tool({**environment, "PALOMAR_SERVER": f"unix:{daemon.socket}"}, tmp_path)


class Tool:
    """Runs `palomar` as a shell would."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self._folder = folder

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.run(
            [PALOMAR, *arguments],
            text=True,
            check=False,
            env=self.environment,
            cwd=self._folder,
            timeout=DEADLINE_S,
            **options,
        )

    @contextmanager
    def running(self, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        with subprocess.Popen(
            [PALOMAR, *arguments], text=True, env=self.environment, cwd=self._folder, **options
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def ended_silently(process: subprocess.Popen[str]) -> None:
    """Assert that it ends with 0 and has nothing to say."""
    assert process.wait(DEADLINE_S) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


def big_file(tool: Tool, path: Path) -> Path:
    """Write a file with more flows than any pipe holds."""
    printed = tool.run("observe", "--all", "-o", "jsonpb").stdout
    path.write_text(printed * 40)
    return path


@pytest.mark.parametrize("arguments", [("--help",), ("version",), ("observe", "--last", "1")])
def test_success_is_0_with_nothing_on_standard_error(tool: Tool, arguments: tuple[str]) -> None:
    done = tool.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--nope",),
        ("nope",),
        ("observe", "--nope"),
        ("observe", "--last", "x"),
        ("observe", "--last", "1", "--first", "1"),
        ("observe", "--verdict", "nope"),
        ("observe", "--port"),
    ],
)
def test_wrong_arguments_are_2_and_1_as_hubble(tool: Tool, arguments: tuple[str]) -> None:
    done = tool.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr
    tool.environment["PALOMAR_STRICT_HUBBLE"] = "1"
    done = tool.run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("observe", "--server", "unix:/nowhere/palomar.sock"),
        ("observe", "-f", "--server", "unix:/nowhere/palomar.sock"),
        ("status", "--server", "unix:/nowhere/palomar.sock"),
        ("observe", "--server", "127.0.0.1:1", "--timeout", "2s"),
        ("observe", "--input-file", "/nowhere/flows.jsonl"),
    ],
)
def test_failure_is_1_with_one_line_on_standard_error(tool: Tool, arguments: tuple[str]) -> None:
    done = tool.run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("palomar: ")
    assert re.search(r"/nowhere|127\.0\.0\.1:1\b", line)


def test_a_closed_pipe_is_silent(tool: Tool, tmp_path: Path) -> None:
    file = big_file(tool, tmp_path / "flows.jsonl")
    for output in ("compact", "jsonpb", "table"):
        with tool.running("observe", "--input-file", str(file), "-o", output) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.stdout.close()
            ended_silently(process)


def test_a_closed_pipe_ends_a_shell_pipeline_silently(tool: Tool) -> None:
    command = f"{PALOMAR} observe --all | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=tool.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


def test_output_that_cannot_be_written_is_1(tool: Tool) -> None:
    with Path("/dev/full").open("w") as full:
        done = tool.run("observe", "--all", stdout=full)
    assert done.returncode == 1
    assert done.stderr == "palomar: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("redirection", [">&-", "<&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_standard_streams_do_no_harm(tool: Tool, redirection: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{PALOMAR} observe --last 1 {redirection}"],
        env=tool.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ctrl_c_while_following_is_0_and_silent(tool: Tool) -> None:
    with tool.running("observe", "-f", "--last", "1") as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        ended_silently(process)


def test_ctrl_c_before_the_first_flow_is_0_and_silent(tool: Tool) -> None:
    with tool.running("observe", "-f") as process:
        eventually(lambda: connected(process.pid))
        process.send_signal(signal.SIGINT)
        ended_silently(process)


def connected(pid: int) -> bool:
    """Whether a process has a thread of gRPC's."""
    return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1


@pytest.mark.parametrize("library", ["_datetime", "cygrpc", "_message"])
def test_ctrl_c_while_loading_is_0_and_silent(tool: Tool, library: str) -> None:
    """Once that library is in the process: long before there is a command to interrupt."""
    with tool.running("observe", "-f", "--last", "1", stdout=subprocess.DEVNULL) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        while library not in maps.read_text() and process.poll() is None:
            pass  # without pause, to be there in the middle of it
        process.send_signal(signal.SIGINT)
        ended_silently(process)


@pytest.mark.parametrize("follow", [(), ("-f",)])
def test_standard_input_is_shown_as_it_comes_and_ctrl_c_is_0(
    tool: Tool, follow: tuple[str, ...]
) -> None:
    line = json.dumps({"flow": {"uuid": "u", "verdict": "DROPPED"}})
    with tool.running("observe", *follow, "--input-file", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        ended_silently(process)


@pytest.mark.parametrize("output", ["compact", "jsonpb", "dict", "table"])
def test_a_file_gives_what_the_server_gave(tool: Tool, tmp_path: Path, output: str) -> None:
    file = tmp_path / "flows.jsonl"
    file.write_text(tool.run("observe", "--all", "-o", "jsonpb").stdout)
    assert len(file.read_text().splitlines()) == FLOWS
    for selection in (
        ["--all"],
        ["--last", "3"],
        ["--first", "4", "--verdict", "DROPPED"],
        ["--all", "--not", "--port", "80"],
        ["--all", "--http-path", "^/"],
    ):
        asked = ["observe", *selection, "-o", output]
        from_server = tool.run(*asked)
        from_file = tool.run(*asked, "--input-file", str(file))
        assert from_server.returncode == from_file.returncode == 0, from_server.stderr
        assert from_file.stdout == from_server.stdout
        assert tool.run(*asked, "--input-file", "-", input=file.read_text()).stdout == (
            from_server.stdout
        )


def test_a_file_needs_no_server(tool: Tool, tmp_path: Path) -> None:
    file = tmp_path / "flows.jsonl"
    file.write_text(tool.run("observe", "--all", "-o", "jsonpb").stdout)
    tool.environment["PALOMAR_SERVER"] = "unix:/nowhere/palomar.sock"
    done = tool.run("observe", "--input-file", str(file), "--last", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2


def test_tls_with_certificates_of_both_sides_and_a_token(tool: Tool, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("relay.example", "DNS:relay.example")
    user = authority.issue("user")
    credentials = authority.server_credentials(server, ask=True)
    with FakeObserver([make_response()], credentials=credentials) as relay:
        tool.environment["PALOMAR_SERVER"] = f"tls://{relay.target}"
        tool.environment["PALOMAR_BEARER_TOKEN"] = "secret"  # noqa: S105 - of this test
        trusted = ("--tls-ca-cert-files", str(authority.file))
        named = ("--tls-server-name", "relay.example")
        shown = ("--tls-client-cert-file", str(user.certificate))
        keyed = ("--tls-client-key-file", str(user.key))
        good = tool.run("observe", "--last", "1", *trusted, *named, *shown, *keyed)
        assert (good.returncode, good.stderr) == (0, "")
        assert len(good.stdout.splitlines()) == 1
        assert relay.metadata[-1]["authorization"] == "Bearer secret"
        for wrong in ((*trusted, *shown, *keyed), (*named, *shown, *keyed), (*trusted, *named)):
            refused = tool.run("observe", "--last", "1", *wrong)
            assert refused.returncode == 1
            assert len(refused.stderr.splitlines()) == 1
            assert "secret" not in refused.stderr


def loaded(tool: Tool, *arguments: str) -> set[str]:
    """The modules that a run loads."""
    tool.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    done = tool.run(*arguments)
    assert done.returncode == 0
    lines = (line for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines}


def test_showing_flows_loads_what_it_needs_only(tool: Tool) -> None:
    for arguments in (("--last", "1"), ("--last", "1", "-o", "jsonpb"), ("--verdict", "DROPPED")):
        modules = loaded(tool, "observe", *arguments)
        assert "palomar.client" in modules
        assert modules & NOT_FOR_ONE_FLOW == set()


def test_help_and_version_load_neither_grpc_nor_protobuf(tool: Tool) -> None:
    for arguments in (("--help",), ("observe", "--help"), ("version",)):
        modules = loaded(tool, *arguments)
        assert "palomar.cli" in modules
        assert {name.partition(".")[0] for name in modules} & {
            *("grpc", "google", "palomar_proto", "rich", "yaml", "asyncio")
        } == set()
