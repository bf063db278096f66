import pytest
from google.protobuf.json_format import ParseDict

from palomar.recording_text import (
    closing_lines,
    end_text,
    filter_text,
    goal_text,
    has_failed,
    loss_lines,
    lost_packets,
    lost_text,
    recording_details,
    recordings_table,
    result_texts,
    status_text,
    written_text,
)
from palomar_proto.palomar.v1.recordings_pb2 import (
    PacketFilter,
    PacketTuple,
    Recording,
    RecordingCounts,
    RecordingEnd,
    RecordingStatus,
)
from tests.client.recording_cases import counts

RECORDING = ParseDict(
    {
        "id": "web-0000000a",
        "node_name": "default/node-1",
        "status": "RECORDING_STATUS_COMPLETE",
        "end": "RECORDING_END_PACKETS",
        "request": {
            "name": "web",
            "filter": {"whitelist": [{"verdict": ["DROPPED"]}], "pcap_filter": "tcp"},
            "snaplen_bytes": 128,
            "format": "RECORDING_FORMAT_PCAP",
            "stop": {"packets": "10", "bytes": "2048", "duration": "90s"},
            "trigger": {"filters": [{"verdict": ["DROPPED"]}], "before": "2s"},
        },
        "started_by": "unix:uid=0",
        "started": "2024-03-05T10:20:30.5Z",
        "triggered": "2024-03-05T10:20:31Z",
        "ended": "2024-03-05T10:20:40Z",
        "expires": "2024-03-12T10:20:40Z",
        "file_name": "web-0000000a_node-1.pcap",
        "file_bytes": "7164",
        "sha256": "ab",
        "interface_names": ["veth0", "veth1"],
    },
    Recording(counts=counts(10, ring=2, queue=1)),
)


def test_counts_are_told_with_what_was_lost_where() -> None:
    assert written_text(counts(142)) == "142 packets (97.1 KiB)"
    assert written_text(counts(1)) == "1 packet (700 B)"
    assert lost_text(counts(1)) == "none lost"
    assert lost_text(counts(1, ring=3)) == "3 lost (perf ring 3)"
    text = lost_text(counts(1, ring=3, queue=1000, disk=1))
    assert text == "1,004 lost (perf ring 3, sink queue 1,000, disk 1)"
    assert lost_packets(counts(1, ring=3, disk=1)) == 4


def test_losses_come_with_what_to_do() -> None:
    assert loss_lines(counts(5)) == []
    ring, queue, disk = loss_lines(counts(5, ring=1, queue=2, disk=3))
    assert "--record-pages-per-cpu" in ring
    assert ring.startswith("1 packet came")
    assert "--recording-queue-bytes" in queue
    assert "recordings show" in disk


@pytest.mark.parametrize("end", RecordingEnd.values()[1:])
def test_every_end_has_words(end: RecordingEnd.ValueType) -> None:
    text = end_text(Recording(end=end))
    assert text
    assert "of reason" not in text


def test_what_the_server_says_cannot_steer_the_terminal() -> None:
    recording = Recording(id="\x1b[2J", end=RecordingEnd.RECORDING_END_ERROR, message="a\x1bb")
    for text in (
        end_text(recording),
        recording_details(recording),
        recordings_table([recording]),
    ):
        assert "\x1b" not in text


def test_what_will_end_it_is_told() -> None:
    assert goal_text(RECORDING) == (
        "waits for its trigger, then records until it has 10 packets, it has 2.0 KiB, "
        "1m30s have passed, or it is stopped"
    )
    assert goal_text(Recording()) == "records until the node's limits end it, or it is stopped"


def test_only_what_nobody_wished_has_failed() -> None:
    failed = {
        RecordingStatus.Name(status)
        for status in RecordingStatus.values()
        if has_failed(Recording(status=status))
    }
    assert failed == {"RECORDING_STATUS_FAILED", "RECORDING_STATUS_INTERRUPTED"}


def test_a_row_has_what_one_looks_for() -> None:
    running = Recording(id="a-0", status=RecordingStatus.RECORDING_STATUS_RUNNING)
    heading, first, second = recordings_table([RECORDING, running]).splitlines()
    assert heading.split() == [
        "ID", "STATUS", "END", "PACKETS", "BYTES", "LOST", "SIZE", "STARTED", "BY",
    ]  # fmt: skip
    assert first.split()[:7] == ["web-0000000a", "complete", "packets", "10", "6.8", "KiB", "3"]
    assert second.split()[:3] == ["a-0", "running", "-"]


def test_details_have_every_part() -> None:
    text = recording_details(RECORDING)
    for part in (
        "default/node-1", "complete", "it has the packets", "verdict DROPPED", "pcap-filter 'tcp'",
        "and 2s before", "10 packets, 2.0 KiB, 1m30s", "128 bytes", "pcap", "10:20:30.500Z",
        "2024-03-05 10:20:31.000Z", "10 packets, 7,000 bytes", "3 lost (perf ring 2, sink queue 1)",
        "veth0, veth1", "7,164 bytes", "ab", "2024-03-12",
    ):  # fmt: skip
        assert part in text
    assert "triggered" not in recording_details(Recording(id="a"))


def test_filters_are_told_in_words() -> None:
    assert filter_text(PacketFilter()) == "every packet"
    one = PacketFilter(tuples=[PacketTuple(destination_port=80, protocol=6)], one_way=True)
    assert filter_text(one) == "packets (* * * 80 6) (one way)"


def test_what_a_newer_server_has_more_is_its_number() -> None:
    recording = Recording()
    recording.MergeFromString(b"\x18\x63\x20\x62")  # status 99, end 98
    assert status_text(recording) == "99"
    assert end_text(recording) == "of reason 98"
    assert lost_text(RecordingCounts()) == "none lost"


def test_a_recording_of_nothing_says_where_to_look() -> None:
    recording = Recording()
    assert closing_lines(recording)[0].startswith("no packet matched")
    recording.request.trigger.filters.add(verdict=["DROPPED"])
    assert closing_lines(recording)[0].startswith("no packet of the trigger came")
    recording.triggered.GetCurrentTime()
    assert closing_lines(recording)[0].startswith("no packet matched")
    assert not closing_lines(Recording(counts=counts(1)))
    assert closing_lines(Recording(counts=counts(0, ring=1)))[0].startswith("1 packet came faster")


def test_an_end_that_nobody_asked_for_is_told() -> None:
    recording = Recording(counts=counts(1), end=RecordingEnd.RECORDING_END_FILE_SIZE)
    assert closing_lines(recording) == [
        "the recording ended early: its file is as large as one may be"
    ]
    recording.end = RecordingEnd.RECORDING_END_DURATION
    assert closing_lines(recording) == ["the recording ended early: its time was up"]
    recording.request.stop.duration.FromSeconds(1)
    assert not closing_lines(recording)


def test_what_nobody_counted_is_not_none() -> None:
    killed = Recording()
    killed.CopyFrom(RECORDING)
    killed.status = RecordingStatus.RECORDING_STATUS_INTERRUPTED
    killed.ClearField("counts")
    assert result_texts(killed) == ("7.0 KiB", "packets and losses were not counted")
    assert not closing_lines(killed)
    assert recordings_table([killed]).splitlines()[1].split()[3:7] == ["-", "-", "-", "7.0"]
    assert recording_details(killed).count(" not counted\n") == 3
    killed.counts.CopyFrom(counts(1))
    assert result_texts(killed) == ("1 packet (700 B)", "none lost")
