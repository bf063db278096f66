from __future__ import annotations

import pytest

from palomar_bpf.capture_rule import PACKET_SNAPLEN_BYTES_MAX
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_server.errors import InvalidRequest
from palomar_server.recording.recording_request import complete_request
from palomar_server.recording_settings import RecordingSettings

SETTINGS = RecordingSettings(recordings_keep_s=100, recording_max_s=50)


def test_defaults_are_filled_in_and_the_request_is_left_as_it_is() -> None:
    request = recordings_pb2.StartRequest()
    complete = complete_request(request, SETTINGS)
    assert request == recordings_pb2.StartRequest()
    assert complete.name == "palomar"
    assert complete.snaplen_bytes == PACKET_SNAPLEN_BYTES_MAX
    assert complete.format == recordings_pb2.RECORDING_FORMAT_PCAPNG
    assert complete.keep.ToNanoseconds() == 100 * 10**9


def test_what_is_chosen_stays() -> None:
    request = recordings_pb2.StartRequest(
        name="web-1", snaplen_bytes=96, format=recordings_pb2.RECORDING_FORMAT_PCAP
    )
    request.keep.FromSeconds(7)
    assert complete_request(request, SETTINGS) == request


def test_a_snaplen_beyond_all_packets_is_all_of_them() -> None:
    request = recordings_pb2.StartRequest(snaplen_bytes=262_144)
    assert complete_request(request, SETTINGS).snaplen_bytes == PACKET_SNAPLEN_BYTES_MAX


def test_what_nobody_knows_is_not_kept() -> None:
    request = recordings_pb2.StartRequest()
    # Field 1000, a string.
    request.MergeFromString(b"\xc2\x3e\x03abc")
    assert request.ByteSize() == 6
    assert b"abc" not in complete_request(request, SETTINGS).SerializeToString()


def test_a_request_too_large_to_be_kept_is_refused() -> None:
    request = recordings_pb2.StartRequest()
    request.filter.whitelist.add(source_pod=["x" * 70_000])
    with pytest.raises(InvalidRequest, match="over 65,536"):
        complete_request(request, SETTINGS)


@pytest.mark.parametrize(
    ("request_text", "told"),
    [
        ({"name": "A"}, "name"),
        ({"name": "x" * 41}, "name"),
        ({"format": 9}, "format: 9 is no RecordingFormat"),
        ({"stop": {"duration": {"seconds": -1}}}, "stop.duration.*negative"),
        ({"stop": {"duration": {"seconds": 51}}}, "stop.duration.*over 50 s.*recording_max_s"),
        ({"stop": {"duration": {"seconds": 1 << 60}}}, "stop.duration.*is no duration"),
        ({"keep": {"seconds": 101}}, "keep.*over 100 s.*recordings_keep_s"),
        ({"trigger": {}}, "trigger"),
        ({"trigger": {"before": {"seconds": 3601}}}, "trigger.before.*an hour"),
        ({"trigger": {"before": {"seconds": 2}}}, "trigger.before: '2s'.*flight_recorder_bytes"),
    ],
)
def test_a_value_that_breaks_its_rule_is_told(request_text: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        complete_request(recordings_pb2.StartRequest(**request_text), SETTINGS)  # type: ignore[arg-type]


def test_a_flight_recorder_makes_before_mean_something_by_itself() -> None:
    request = recordings_pb2.StartRequest()
    request.trigger.before.FromSeconds(2)
    complete_request(request, SETTINGS.model_copy(update={"flight_recorder_bytes": 1_000_000}))
