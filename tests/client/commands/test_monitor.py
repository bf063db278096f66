"""`palomar monitor`."""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar_proto.monitor import agent_notice
from palomar_proto.monitor.payload import LOST, OPENING, SAMPLE, Payload, encode

STREAM = OPENING + b"".join(
    map(
        encode,
        (
            Payload(b"\x04\x03" + bytes(14), 0, 0, SAMPLE),
            Payload(b"", 1, 7, LOST),
            Payload(b"\x01\x85" + bytes(14), 2, 0, SAMPLE),
            Payload(agent_notice.encode(7, {}), 0, 0, SAMPLE),
        ),
    )
)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        listener.settimeout(30)
        yield listener


def monitor(listener: socket.socket, *arguments: str) -> Result:
    """Run the command against a server that sends the stream and hangs up."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(STREAM)

    thread = threading.Thread(target=serve)
    thread.start()
    ended = CliRunner().invoke(cli, ["monitor", "--socket", listener.getsockname(), *arguments])
    thread.join()
    return ended


def heads(ended: Result) -> list[str]:
    return [line.split(",")[0] for line in ended.stdout.splitlines()]


def test_every_payload_is_shown_with_its_bytes(listener: socket.socket) -> None:
    ended = monitor(listener)
    assert "CPU 00: trace to-stack, " in ended.stdout
    assert "CPU 01: LOST 7 events\n" in ended.stdout
    assert "00000000  01 85 00" in ended.stdout


def test_server_that_hangs_up_is_1(listener: socket.socket) -> None:
    ended = monitor(listener)
    assert ended.exit_code == 1
    assert "has closed the connection" in ended.stderr


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (["-t", "drop"], ["CPU 01: LOST 7 events", "CPU 02: drop (Policy denied)"]),
        (["-t", "trace:to-host"], ["CPU 01: LOST 7 events"]),
        (
            ["-t", "trace:to-stack,agent:endpoint-created"],
            ["CPU 00: trace to-stack", "CPU 01: LOST 7 events", "CPU 00: agent endpoint-created"],
        ),
        (["-t", "1", "--type", "99"], ["CPU 01: LOST 7 events", "CPU 02: drop (Policy denied)"]),
    ],
)
def test_types_are_chosen_and_losses_always_told(
    listener: socket.socket, flags: list[str], shown: list[str]
) -> None:
    assert heads(monitor(listener, "--no-hex", *flags)) == shown


def test_json_is_one_object_a_line(listener: socket.socket) -> None:
    shown = [json.loads(line) for line in monitor(listener, "--json").stdout.splitlines()]
    assert [one.get("type_name") for one in shown] == ["trace", None, "drop", "agent"]


def test_unknown_type_is_2() -> None:
    ended = CliRunner().invoke(cli, ["monitor", "-t", "flow"])
    assert ended.exit_code == 2
    assert "type 'flow' is unknown" in ended.stderr


def test_missing_socket_is_1(tmp_path: Path) -> None:
    ended = CliRunner().invoke(cli, ["monitor", "--socket", str(tmp_path / "none")])
    assert ended.exit_code == 1
    assert ended.stderr.count("\n") == 1
    assert "there is no such socket" in ended.stderr


def start(listener: socket.socket) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    command = [sys.executable, "-m", "palomar", "monitor", "--socket", listener.getsockname()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    connection, _ = listener.accept()
    connection.sendall(STREAM)
    return process, connection


def test_interrupt_is_a_way_to_end(listener: socket.socket) -> None:
    process, connection = start(listener)
    with connection, process:
        assert process.stdout is not None
        # It has to have come at once, and not with the next thirty kilobytes.
        assert process.stdout.readline().startswith(b"CPU 00: trace")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == b""


def test_reader_that_went_away_is_a_way_to_end(listener: socket.socket) -> None:
    process, connection = start(listener)
    with connection, process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        while process.poll() is None:
            try:
                connection.sendall(STREAM.removeprefix(OPENING))
            except OSError:
                break
        assert process.wait(30) == 0
        assert process.stderr.read() == b""


def test_empty_path_does_not_stand_for_the_default() -> None:
    ended = CliRunner().invoke(cli, ["monitor", "--socket", ""])
    assert ended.exit_code != 0
    assert "'' is no path of a socket" in ended.output + str(ended.exception)
