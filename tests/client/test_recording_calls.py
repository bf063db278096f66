from pathlib import Path

import pytest

from palomar.client import Client
from palomar.errors import InvalidRequest, ServerError, ServerUnavailable, Unsupported
from palomar.fake_recordings import FakeRecordings
from palomar.reconnection import Reconnect
from palomar.testing import FakeObserver
from palomar_proto.palomar.v1.recordings_pb2 import (
    RECORDING_END_PACKETS,
    RECORDING_END_STOPPED,
    RECORDING_STATUS_COMPLETE,
    RECORDING_STATUS_RUNNING,
)
from tests.client.recording_cases import FILE, counts

AT_ONCE = Reconnect(first_delay_s=0, delay_max_s=0.05)


def test_a_recording_from_start_to_removal(tmp_path: Path) -> None:
    recordings = FakeRecordings(file=FILE, counts=[counts(3)])
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        recording = client.start_recording(pod="web", name="web")
        assert recording.id == "web-00000000"
        assert client.recording(recording.id).status == RECORDING_STATUS_RUNNING
        assert [one.id for one in client.recordings("running").recordings] == [recording.id]
        stopped = client.stop_recording(recording.id)
        assert stopped.end == RECORDING_END_STOPPED
        assert client.stop_recording(recording.id) == stopped
        path = client.download_recording(recording.id, tmp_path)
        assert path.name == stopped.file_name
        assert path.read_bytes() == FILE
        client.delete_recording(recording.id)
        assert not client.recordings().recordings
        with pytest.raises(InvalidRequest, match=r"no recording 'web-00000000'.*recordings list"):
            client.recording(recording.id)


def test_watching_ends_with_the_recording() -> None:
    steps = [counts(1), counts(2)]
    recordings = FakeRecordings(counts=steps, end=RECORDING_END_PACKETS)
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        seen = list(client.watch_recording(client.start_recording().id))
    assert [one.counts.written.packets for one in seen] == [0, 1, 2, 2]
    assert seen[-1].status == RECORDING_STATUS_COMPLETE


def test_newest_recordings_come_first_and_not_all() -> None:
    with FakeObserver(recordings=FakeRecordings()) as server, Client(server.target) as client:
        ids = [client.start_recording().id for _ in range(3)]
        answer = client.recordings(limit=2)
    assert [one.id for one in answer.recordings] == ids[:0:-1]
    assert answer.truncated


def test_download_goes_on_after_the_connection_was_lost(tmp_path: Path) -> None:
    places = {70_000, 140_000, 200_000, 210_000, 250_000, 260_000, 300_000}
    recordings = FakeRecordings(file=FILE, chunk_bytes=1 << 12, breaks=places)
    with (
        FakeObserver(recordings=recordings) as server,
        Client(server.target, reconnect=AT_ONCE) as client,
    ):
        recording = client.stop_recording(client.start_recording().id)
        path = client.download_recording(recording.id, tmp_path / "x")
    assert path.read_bytes() == FILE
    assert len(recordings.offsets) == len(places) + 1
    assert recordings.offsets == sorted(recordings.offsets)


def test_download_that_was_damaged_goes_on_when_it_is_asked_for_again(tmp_path: Path) -> None:
    recordings = FakeRecordings(file=FILE, damaged={200_000})
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        recording = client.stop_recording(client.start_recording().id)
        with pytest.raises(ServerError, match="damaged"):
            client.download_recording(recording.id, tmp_path / "x")
        path = client.download_recording(recording.id, tmp_path / "x")
    assert path.read_bytes() == FILE
    assert recordings.offsets == [0, 3 << 16]


def test_download_is_not_tried_again_where_that_is_not_wanted(tmp_path: Path) -> None:
    recordings = FakeRecordings(file=FILE, breaks={0})
    with (
        FakeObserver(recordings=recordings) as server,
        Client(server.target, reconnect=None) as client,
    ):
        recording = client.stop_recording(client.start_recording().id)
        with pytest.raises(ServerUnavailable):
            client.download_recording(recording.id, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_download_of_more_than_there_is_begins_anew_next_time(tmp_path: Path) -> None:
    recordings = FakeRecordings(file=FILE)
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        recording = client.stop_recording(client.start_recording().id)
        (tmp_path / f"{recording.id}.partial").write_bytes(FILE + b"more")
        with pytest.raises(InvalidRequest, match="beyond"):
            client.download_recording(recording.id, tmp_path / "x")
        assert client.download_recording(recording.id, tmp_path / "x").read_bytes() == FILE


def test_one_that_goes_on_is_neither_fetched_nor_removed(tmp_path: Path) -> None:
    with FakeObserver(recordings=FakeRecordings()) as server, Client(server.target) as client:
        recording = client.start_recording()
        with pytest.raises(InvalidRequest, match="stop it first"):
            client.download_recording(recording.id, tmp_path / "x")
        with pytest.raises(InvalidRequest, match="stop it first"):
            client.delete_recording(recording.id)


def test_other_servers_record_nothing(tmp_path: Path) -> None:
    with FakeObserver() as server, Client(server.target) as client:
        for ask in (
            client.start_recording,
            client.recordings,
            lambda: client.recording("a-0"),
            lambda: list(client.watch_recording("a-0")),
            lambda: client.stop_recording("a-0"),
            lambda: client.delete_recording("a-0"),
            lambda: client.download_recording("a-0", tmp_path / "x"),
            lambda: list(client.record_stream()),
        ):
            with pytest.raises(Unsupported, match="only palomard records packets"):
                ask()
