from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.palomar.v1 import recordings_pb2 as pb
from palomar_server.catalogue.row import recording_of, row_of, status_name
from palomar_server.catalogue.tables import RECORDINGS

INTEGER_MAX = 2**63 - 1


def full() -> pb.Recording:
    recording = pb.Recording(
        id="web-00000001",
        node_name="node",
        status=pb.RECORDING_STATUS_FAILED,
        end=pb.RECORDING_END_DISK_FULL,
        message="no room",
        started_by="unix:uid=0",
        file_name="web-00000001_node.pcapng",
        file_bytes=7,
        sha256="ab",
    )
    recording.request.name = "web"
    recording.request.filter.tuples.add(source_cidr="10.0.0.0/8")
    recording.started.FromNanoseconds(1)
    recording.ended.FromNanoseconds(2)
    recording.expires.FromNanoseconds(3)
    recording.counts.captured.packets = 10
    recording.counts.captured.bytes = 100
    recording.counts.written.packets = 4
    recording.counts.written.bytes = 40
    recording.counts.lost_perf_ring.packets = 1
    recording.counts.lost_sink_queue.packets = 2
    recording.counts.lost_disk.packets = 4
    return recording


def test_a_row_has_what_is_worth_a_query_beside_the_message() -> None:
    row = row_of(full())
    message, request = row.pop("recording"), row.pop("request_json")
    assert row == {
        "node_name": "node",
        "id": "web-00000001",
        "name": "web",
        "status": "failed",
        "end": "disk_full",
        "message": "no room",
        "started_by": "unix:uid=0",
        "started_ns": 1,
        "ended_ns": 2,
        "expires_ns": 3,
        "captured_packets": 10,
        "captured_bytes": 100,
        "written_packets": 4,
        "written_bytes": 40,
        "lost_packets": 7,
        "file_name": "web-00000001_node.pcapng",
        "file_bytes": 7,
        "sha256": "ab",
    }
    assert isinstance(message, bytes)
    assert recording_of(message) == full()
    assert isinstance(request, str)
    assert json.loads(request) == {
        "name": "web",
        "filter": {"tuples": [{"source_cidr": "10.0.0.0/8"}]},
    }


def test_a_row_has_every_column() -> None:
    assert [*row_of(pb.Recording())] == [column.name for column in RECORDINGS.columns]


def test_times_that_are_not_there_are_none() -> None:
    row = row_of(pb.Recording())
    assert (row["started_ns"], row["ended_ns"], row["expires_ns"]) == (0, None, None)


def test_values_of_a_later_release_are_numbers() -> None:
    assert status_name(pb.RECORDING_STATUS_RUNNING) == "running"
    assert status_name(99) == "99"
    recording = pb.Recording.FromString(b"\x18\x63\x20\x62")
    assert (row_of(recording)["status"], row_of(recording)["end"]) == ("99", "98")


@given(
    st.builds(
        pb.Recording,
        id=st.text(),
        message=st.text(),
        file_name=st.text(),
        file_bytes=st.integers(0, 2**64 - 1),
    ),
    st.integers(-(2**63), INTEGER_MAX),
    st.integers(0, 2**64 - 1),
)
def test_any_recording_fits_the_columns(
    recording: pb.Recording, seconds: int, packets: int
) -> None:
    recording.expires.seconds = seconds
    recording.counts.captured.packets = packets
    recording.counts.lost_disk.packets = packets
    recording.counts.lost_sink_queue.packets = packets
    row = row_of(recording)
    for value in row.values():
        assert not isinstance(value, int) or abs(value) <= INTEGER_MAX
        assert not isinstance(value, str) or "\0" not in value
    message = row["recording"]
    assert isinstance(message, bytes)
    assert recording_of(message) == recording
