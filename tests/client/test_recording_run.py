"""Runs of `palomar record` as the terminal sees them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.fake_recordings import FakeRecordings
from palomar.output import STDOUT_DESCRIPTOR
from palomar.testing import FakeObserver
from palomar_proto.palomar.v1.recordings_pb2 import (
    RECORDING_END_DISK_FULL,
    RECORDING_END_INTERRUPTED,
    RECORDING_END_PACKETS,
    RECORDING_END_STOPPED,
    RECORDING_STATUS_FAILED,
    RECORDING_STATUS_INTERRUPTED,
)
from tests.client.recording_cases import FILE, counts


def run(recordings: FakeRecordings | None, *arguments: str) -> Result:
    with FakeObserver(recordings=recordings) as server:
        return CliRunner().invoke(cli, ["record", *arguments, "--server", server.target])


def ending(**options: object) -> FakeRecordings:
    return FakeRecordings(
        file=FILE,
        counts=[counts(10), counts(142)],
        end=RECORDING_END_PACKETS,
        **options,  # type: ignore[arg-type]  # as named
    )


def test_packets_are_in_the_file_and_the_last_line_says_how_many(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    done = run(ending(), "--pod", "web", "--packets", "142", "-w", str(path))
    assert done.exit_code == 0
    assert path.read_bytes() == FILE
    assert done.stdout == f"142 packets (97.1 KiB) written to {path}; none lost\n"
    begun, kept = done.stderr.splitlines()
    assert begun == "palomar: recording palomar-00000000 on default/node-1; Ctrl-C ends it"
    assert "palomar recordings delete palomar-00000000" in kept
    assert "2024-03-12" in kept


@pytest.mark.skipif(os.getuid() != 0, reason="others are refused before anything begins")
def test_a_file_that_cannot_be_written_after_all_is_an_error_and_no_matter_of_usage() -> None:
    # Root may, by the permissions, and no file can be made there.
    done = run(ending(), "--packets", "142", "-w", "/proc/x.pcapng")
    assert done.exit_code == 1
    assert "Usage" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("palomar: cannot write /proc/")
    assert "palomar recordings show palomar-00000000" in done.stderr


def test_losses_are_told_with_what_to_do(tmp_path: Path) -> None:
    recordings = ending()
    recordings.counts = [counts(142, ring=3)]
    done = run(recordings, "-w", str(tmp_path / "x"))
    assert done.stdout.endswith("; 3 lost (perf ring 3)\n")
    assert "--record-pages-per-cpu" in done.stderr
    assert done.exit_code == 0


def test_without_a_file_the_last_line_says_how_to_fetch_it() -> None:
    done = run(ending(), "--name", "web")
    assert done.stdout == (
        "142 packets (97.1 KiB) recorded on default/node-1; none lost; "
        "fetch them: palomar recordings download web-00000000\n"
    )


def test_result_may_be_json() -> None:
    done = run(ending(), "-o", "json")
    assert done.stdout.startswith('{"id":"palomar-00000000"')


def test_detached_it_prints_the_id_and_leaves() -> None:
    recordings = FakeRecordings()
    done = run(recordings, "--detach")
    assert done.stdout == "palomar-00000000\n"
    assert done.stderr == (
        "palomar: default/node-1 records until the node's limits end it, or it is stopped: "
        "palomar recordings stop palomar-00000000\n"
    )
    assert not recordings.recordings["palomar-00000000"].HasField("ended")


def test_one_that_failed_is_fetched_and_ends_with_1(tmp_path: Path) -> None:
    recordings = ending(status=RECORDING_STATUS_FAILED, message="28")
    recordings.end = RECORDING_END_DISK_FULL
    path = tmp_path / "x"
    done = run(recordings, "-w", str(path))
    assert done.exit_code == 1
    assert path.read_bytes() == FILE
    assert done.stdout.startswith("142 packets")
    assert "ended before it should: the node's disk is full: 28" in done.stderr.splitlines()[-1]


def test_one_whose_palomard_was_killed_does_not_say_that_nothing_came(tmp_path: Path) -> None:
    recordings = FakeRecordings(
        file=FILE, end=RECORDING_END_INTERRUPTED, status=RECORDING_STATUS_INTERRUPTED
    )
    path = tmp_path / "x"
    done = run(recordings, "-w", str(path))
    assert done.exit_code == 1
    assert done.stdout == f"300 KiB written to {path}; packets and losses were not counted\n"
    assert "no packet matched" not in done.stderr


def test_where_nobody_hears_it_a_recording_goes_on(
    plain_environment: dict[str, str], tmp_path: Path
) -> None:
    with FakeObserver(recordings=ending()) as server, open("/dev/full", "wb") as errors:  # noqa: PTH123 - no path to keep
        command = [sys.executable, "-m", "palomar", "record", "--server", server.target]
        done = subprocess.run(
            [*command, "-w", str(tmp_path / "x")],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=plain_environment,
            timeout=20,
            check=True,
        )
    assert done.stdout.startswith(b"142 packets")
    assert (tmp_path / "x").read_bytes() == FILE


def test_stream_goes_to_standard_output_and_words_beside_it() -> None:
    done = run(ending(), "-w", "-")
    assert done.stdout_bytes == FILE
    assert done.stderr == "142 packets (97.1 KiB) written to standard output; none lost\n"


def test_stream_that_failed_ends_with_1() -> None:
    recordings = ending(status=RECORDING_STATUS_FAILED)
    done = run(recordings, "-w", "-")
    assert done.exit_code == 1
    assert done.stdout_bytes == FILE


def test_files_that_cannot_be_written_are_refused_before_anything_begins(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    recordings = ending()
    for arguments, told in (
        (["-w", str(there)], "is there already"),
        (["-w", str(tmp_path)], "is a directory"),
        (["-w", str(tmp_path / "no" / "x")], "cannot write to directory"),
        (["-w", str(tmp_path / ("x" * 300))], "cannot write"),
        (["-w", "/dev/null", "--force"], "is no regular file"),
        (["-w", str(tmp_path / "x"), "--detach"], "--detach"),
    ):
        done = run(recordings, *arguments)
        assert done.exit_code == 2
        assert told in done.stderr
    assert recordings.started == []
    assert run(recordings, "-w", str(there), "--force").exit_code == 0
    assert there.read_bytes() == FILE


def test_a_closed_standard_output_gets_no_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palomar.recording_run.CLOSED", {STDOUT_DESCRIPTOR})
    recordings = ending()
    done = run(recordings, "-w", "-")
    assert done.exit_code == 2
    assert "standard output, which is closed" in done.stderr
    assert recordings.started == []


def test_where_the_end_cannot_be_watched_it_says_where_the_recording_is() -> None:
    errors = {"Watch": (grpc.StatusCode.INTERNAL, "broken")}
    with FakeObserver(recordings=FakeRecordings(), errors=errors) as server:
        done = CliRunner().invoke(cli, ["record", "--server", server.target])
    assert done.exit_code == 1
    assert "palomar recordings show palomar-00000000" in done.stderr


def test_other_servers_are_one_clear_line() -> None:
    for arguments in ([], ["-w", "-"]):
        done = run(None, *arguments)
        assert done.exit_code == 1
        assert "only palomard records packets" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def interrupt() -> Callable[[Callable[[], object]], threading.Thread]:
    """Press Ctrl-C once a condition holds."""

    def press(ready: Callable[[], object]) -> threading.Thread:
        def wait() -> None:
            while not ready():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        return thread

    return press


def test_ctrl_c_ends_it_in_order(
    interrupt: Callable[[Callable[[], object]], threading.Thread], tmp_path: Path
) -> None:
    recordings = FakeRecordings(file=FILE, counts=[counts(5)])
    with FakeObserver(recordings=recordings) as server:
        interrupt(lambda: "Watch" in server_calls(server))
        done = CliRunner().invoke(
            cli, ["record", "-w", str(tmp_path / "x"), "--server", server.target]
        )
    assert done.exit_code == 0
    assert (tmp_path / "x").read_bytes() == FILE
    assert done.stdout.startswith("5 packets (3.4 KiB) written to")
    assert recordings.recordings["palomar-00000000"].end == RECORDING_END_STOPPED


def test_one_that_cannot_be_stopped_is_left_with_a_word_where_it_is(
    interrupt: Callable[[Callable[[], object]], threading.Thread],
) -> None:
    errors = {"Stop": (grpc.StatusCode.PERMISSION_DENIED, "not you")}
    with FakeObserver(recordings=FakeRecordings(), errors=errors) as server:
        interrupt(lambda: "Watch" in server_calls(server))
        done = CliRunner().invoke(cli, ["record", "--server", server.target])
    assert done.exit_code == 1
    assert "cannot stop the recording: " in done.stderr
    assert "palomar recordings show palomar-00000000" in done.stderr


def test_ctrl_c_brings_what_is_left_of_a_stream(
    interrupt: Callable[[Callable[[], object]], threading.Thread],
) -> None:
    recordings = FakeRecordings(file=FILE, counts=[counts(5)])
    with FakeObserver(recordings=recordings) as server:
        interrupt(lambda: "Stream" in server_calls(server))
        done = CliRunner().invoke(cli, ["record", "-w", "-", "--server", server.target])
    assert done.exit_code == 0
    assert done.stdout_bytes == FILE
    assert done.stderr == "5 packets (3.4 KiB) written to standard output; none lost\n"


def test_a_stream_that_cannot_be_stopped_is_left(
    interrupt: Callable[[Callable[[], object]], threading.Thread],
) -> None:
    recordings = FakeRecordings(file=FILE)
    errors = {"Stop": (grpc.StatusCode.NOT_FOUND, "no such")}
    with FakeObserver(recordings=recordings, errors=errors) as server:
        interrupt(lambda: "Stream" in server_calls(server))
        done = CliRunner().invoke(cli, ["record", "-w", "-", "--server", server.target])
        assert recordings.left.wait(5)
    assert done.exit_code == 0
    assert done.stderr == (
        "0 packets (0 B) written to standard output; none lost by the server's last word; packets "
        "after that may be missing\n"
    )


def server_calls(server: FakeObserver) -> set[str]:
    return {type(one).__name__.removesuffix("Request") for one in server.other_requests}


def test_a_reader_that_goes_away_ends_it_quietly(plain_environment: dict[str, str]) -> None:
    recordings = FakeRecordings(file=FILE * 20)
    with FakeObserver(recordings=recordings) as server:
        command = [sys.executable, "-m", "palomar", "record", "-w", "-", "--server", server.target]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=plain_environment
        ) as process:
            assert process.stdout is not None
            assert process.stdout.read(10) == FILE[:10]
            process.stdout.close()
            assert process.stderr is not None
            assert process.stderr.read() == b""
            assert process.wait(20) == 0
        assert recordings.left.wait(5)


def test_a_reader_of_a_socket_that_goes_away_ends_it_too(
    plain_environment: dict[str, str],
) -> None:
    # Words come, and no packets: there is nothing that could not be written.
    recordings = FakeRecordings(file=b"begin", counts=[counts(1)] * (1 << 20))
    with FakeObserver(recordings=recordings) as server:
        command = [sys.executable, "-m", "palomar", "record", "-w", "-", "--server", server.target]
        reader, output = socket.socketpair()
        with subprocess.Popen(command, stdout=output.fileno(), env=plain_environment) as process:
            output.close()
            assert reader.recv(100) == b"begin"
            reader.close()
            try:
                assert process.wait(20) == 0
            finally:
                process.kill()
        assert recordings.left.wait(5)
