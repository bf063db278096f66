from pathlib import Path

import grpc
import pytest

from palomar.auth import BearerToken
from palomar.client import Client
from palomar.errors import InvalidRequest, ServerError, Unauthorized
from palomar.fake_recordings import FakeRecordings
from palomar.testing import FakeObserver
from palomar_proto.palomar.v1.recordings_pb2 import (
    RECORDING_END_PACKETS,
    RECORDING_STATUS_ARMED,
    RECORDING_STATUS_COMPLETE,
    Recording,
    StartRequest,
)
from tests.client.recording_cases import counts


def test_what_was_asked_for_is_remembered_with_everything_else() -> None:
    recordings = FakeRecordings()
    with (
        FakeObserver(recordings=recordings) as server,
        Client(server.target, auth=BearerToken("t")) as client,
    ):
        client.start_recording(name="web")
        [request] = server.other_requests
    assert isinstance(request, StartRequest)
    assert recordings.started == [request]
    assert server.metadata[0]["authorization"] == "Bearer t"


def test_methods_fail_where_told() -> None:
    errors = {"Stop": (grpc.StatusCode.INTERNAL, "broken")}
    with (
        FakeObserver(recordings=FakeRecordings(), errors=errors) as server,
        Client(server.target) as client,
        pytest.raises(ServerError, match="broken"),
    ):
        client.stop_recording(client.start_recording().id)
    with (
        FakeObserver(
            recordings=FakeRecordings(), error=(grpc.StatusCode.PERMISSION_DENIED, "no")
        ) as server,
        Client(server.target) as client,
        pytest.raises(Unauthorized),
    ):
        list(client.watch_recording("a-0"))


def test_a_stream_leaves_no_file_as_of_palomard(tmp_path: Path) -> None:
    recordings = FakeRecordings(file=b"packets", end=RECORDING_END_PACKETS)
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        stream = client.record_stream()
        assert b"".join(stream) == b"packets"
        assert stream.recording is not None
        with pytest.raises(InvalidRequest, match="went to its caller"):
            client.download_recording(stream.recording.id, tmp_path)


def test_recordings_may_be_armed_and_of_another_day() -> None:
    recordings = FakeRecordings(armed=True, counts=[counts(1)])
    recordings.add(Recording(id="old-0", status=RECORDING_STATUS_COMPLETE))
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        begun = client.start_recording()
        assert begun.status == RECORDING_STATUS_ARMED
        assert [one.id for one in client.recordings("complete").recordings] == ["old-0"]
        client.delete_recording("old-0")


def test_a_watch_that_is_left_does_not_keep_the_server_busy() -> None:
    with FakeObserver(recordings=FakeRecordings()) as server, Client(server.target) as client:
        recording = client.start_recording()
        for _ in range(20):
            with client.watch_recording(recording.id) as changes:
                assert next(iter(changes)).id == recording.id
        client.stop_recording(recording.id)
