import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.client import Client
from palomar.fake_recordings import FakeRecordings
from palomar.testing import FakeObserver
from tests.client.recording_cases import FILE, counts


def recordings(server: FakeObserver, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["recordings", *arguments, "--server", server.target])


@pytest.fixture
def fake() -> FakeRecordings:
    return FakeRecordings(file=FILE, counts=[counts(3)])


def started(server: FakeObserver) -> str:
    with Client(server.target) as client:
        return client.start_recording(name="web").id


def test_a_recording_is_listed_shown_stopped_fetched_and_deleted(
    fake: FakeRecordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with FakeObserver(recordings=fake) as server:
        name = started(server)
        assert recordings(server, "list").stdout.splitlines()[1].split()[:2] == [name, "running"]
        assert "every packet" in recordings(server, "show", name).stdout
        assert recordings(server, "stop", name).stdout.startswith(f"{name}: 3 packets")
        fetched = recordings(server, "download", name)
        assert fetched.stdout == f"{name}_node-1.pcapng (300 KiB)\n"
        assert recordings(server, "download", name, "-w", "x").stdout == "x (300 KiB)\n"
        assert recordings(server, "delete", name).stdout == f"{name} deleted\n"
        assert name not in recordings(server, "list").stdout
    assert (tmp_path / "x").read_bytes() == FILE


def test_json_is_the_answer_itself(fake: FakeRecordings) -> None:
    with FakeObserver(recordings=fake) as server:
        name = started(server)
        assert recordings(server, "list", "-o", "json").stdout.startswith('{"recordings":[{"id"')
        assert recordings(server, "show", name, "-o", "json").stdout.startswith('{"id":"web-')
        assert "STOPPED" in recordings(server, "stop", name, "-o", "json").stdout


def test_a_file_may_be_fetched_to_standard_output(
    fake: FakeRecordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with FakeObserver(recordings=fake) as server:
        name = started(server)
        recordings(server, "stop", name)
        assert recordings(server, "download", name, "-w", "-").stdout_bytes == FILE
    assert not list(tmp_path.iterdir())


def test_only_some_are_listed(fake: FakeRecordings) -> None:
    with FakeObserver(recordings=fake) as server:
        name = started(server)
        others = recordings(server, "list", "--status", "complete, failed")
        assert others.exit_code == 0
        assert name not in others.stdout
        assert name in recordings(server, "ls", "--status", "Running").stdout


def test_wrong_arguments_are_usage_errors(fake: FakeRecordings, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    with FakeObserver(recordings=fake) as server:
        for arguments in (
            ("list", "--status", "done"),
            ("show",),
            ("stop",),
            ("delete",),
            ("download", "../x"),
            ("download", "web-00000000", "-w", str(there)),
        ):
            assert recordings(server, *arguments).exit_code == 2
    assert there.read_text() == "mine"


def test_what_the_server_refuses_ends_with_1(fake: FakeRecordings) -> None:
    with FakeObserver(recordings=fake) as server:
        name = started(server)
        for arguments, told in (
            (("show", "web-1"), "no recording 'web-1' on this node; `palomar recordings list`"),
            (("delete", name), "stop it first"),
            (("download", name), "stop it first"),
        ):
            done = recordings(server, *arguments)
            assert done.exit_code == 1
            assert told in done.stderr


@pytest.mark.parametrize(("command", "done"), [("stop", "stopped"), ("delete", "deleted")])
def test_one_that_is_refused_keeps_none_of_the_others(
    fake: FakeRecordings, command: str, done: str
) -> None:
    with FakeObserver(recordings=fake) as server:
        names = [started(server) for _ in range(3)]
        for name in names:
            recordings(server, "stop", name)
        result = recordings(server, command, names[0], "web-1", names[1], "web-2", names[2])
    assert result.exit_code == 1
    assert [line.split()[0].rstrip(":") for line in result.stdout.splitlines()] == names
    told = result.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in told[:2]] == [
        f"web-1 was not {done}",
        f"web-2 was not {done}",
    ]
    assert told[2:] == [f"palomar: 2 of 5 recordings were not {done}"]


def test_a_server_that_is_gone_is_not_asked_for_each(tmp_path: Path) -> None:
    arguments = ["recordings", "stop", "a", "b", "--server", f"unix:{tmp_path}/none.sock"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 1
    assert done.stderr.count("cannot reach") == 1


def test_other_servers_are_one_clear_line() -> None:
    with FakeObserver() as server:
        done = recordings(server, "list")
    assert done.exit_code == 1
    assert "only palomard records packets" in done.stderr


def test_a_disk_that_is_full_is_no_matter_of_usage(fake: FakeRecordings, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with FakeObserver(recordings=fake) as server:
        name = started(server)
        recordings(server, "stop", name)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(FILE) // 2, hard))
        try:
            done = recordings(server, "download", name, "-w", str(tmp_path / "x"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert done.exit_code == 1
        assert done.stderr.startswith(f"palomar: cannot write {tmp_path}")
        assert recordings(server, "download", name, "-w", str(tmp_path / "x")).exit_code == 0
    assert (tmp_path / "x").read_bytes() == FILE


def test_a_download_that_is_terminated_leaves_no_packets_behind(
    plain_environment: dict[str, str], tmp_path: Path
) -> None:
    fake = FakeRecordings(file=FILE * 20, chunk_bytes=16)  # takes a while
    with FakeObserver(recordings=fake) as server:
        name = started(server)
        recordings(server, "stop", name)
        command = [sys.executable, "-m", "palomar", "recordings", "download", name, "-w", "-"]
        with subprocess.Popen(
            [*command, "--server", server.target],
            stdout=subprocess.PIPE,
            env={**plain_environment, "TMPDIR": str(tmp_path)},
        ) as process:
            while not list(tmp_path.glob("*/*")):
                time.sleep(0.01)
            process.terminate()
            assert process.wait(20) == -signal.SIGTERM
    assert not list(tmp_path.iterdir())
