from __future__ import annotations

from structlog.testing import capture_logs

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_server.peer import Peer
from palomar_server.recording.audit import audit, audit_end

RECORDING = recordings_pb2.Recording(
    id="a-00000000", started_by="unix:uid=0", end=recordings_pb2.RECORDING_END_STOPPED
)


def test_what_somebody_does_is_told_with_who_and_what() -> None:
    recording = recordings_pb2.Recording()
    recording.CopyFrom(RECORDING)
    recording.request.filter.pcap_filter = "udp"
    with capture_logs() as lines:
        audit("recording downloaded", recording, Peer("tcp:192.0.2.1"), offset=5)
    (line,) = lines
    assert line["event"] == "recording downloaded"
    assert (line["id"], line["who"], line["offset"]) == ("a-00000000", "tcp:192.0.2.1", 5)
    assert "udp" in line["filter"]


def test_a_long_filter_is_cut() -> None:
    recording = recordings_pb2.Recording()
    recording.request.filter.pcap_filter = "x" * 9_000
    with capture_logs() as lines:
        audit("recording started", recording, Peer("own"))
    assert len(lines[0]["filter"]) < 3_000


def test_an_end_with_losses_is_a_warning() -> None:
    with capture_logs() as lines:
        audit_end(RECORDING)
        lossy = recordings_pb2.Recording()
        lossy.CopyFrom(RECORDING)
        lossy.counts.lost_perf_ring.packets = 3
        audit_end(lossy)
    assert [line["log_level"] for line in lines] == ["info", "warning"]
    assert (lines[0]["end"], lines[1]["lost"]) == ("STOPPED", {"perf_ring": 3})
