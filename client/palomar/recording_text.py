"""Recordings in words: messages in, lines for people out.

Used by `palomar record` and `palomar recordings`; for programs there is `-o json`.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from palomar.durations import duration_text
from palomar.filter_description import describe_filters
from palomar.printers.escape import visible
from palomar.quantities import bytes_text, count_text, time_text
from palomar.tables import table_text
from palomar_proto.palomar.v1.recordings_pb2 import (
    RECORDING_STATUS_FAILED,
    RECORDING_STATUS_INTERRUPTED,
    PacketCount,
    PacketFilter,
    PacketTuple,
    Recording,
    RecordingCounts,
    RecordingEnd,
    RecordingFormat,
    RecordingStatus,
    RecordingStop,
)

_STAGES: Final = (
    (
        "lost_perf_ring",
        "perf ring",
        (
            "came faster than they were read from the kernel: narrow the filter, or raise "
            "--record-pages-per-cpu of palomard"
        ),
    ),
    (
        "lost_sink_queue",
        "sink queue",
        (
            "came faster than they were written: record less of each with --snaplen, or raise "
            "--recording-queue-bytes of palomard"
        ),
    ),
    (
        "lost_disk",
        "disk",
        "could not be written any more: palomar recordings show tells why the recording ended",
    ),
)
"""By field of RecordingCounts: its name, and what happened with what to do."""

_ENDS: Final = {
    RecordingEnd.RECORDING_END_STOPPED: "it was stopped",
    RecordingEnd.RECORDING_END_PACKETS: "it has the packets it was to have",
    RecordingEnd.RECORDING_END_BYTES: "it has the bytes it was to have",
    RecordingEnd.RECORDING_END_DURATION: "its time was up",
    RecordingEnd.RECORDING_END_CALLER_GONE: "its reader went away",
    RecordingEnd.RECORDING_END_SHUTDOWN: "palomard was stopped",
    RecordingEnd.RECORDING_END_FILE_SIZE: "its file is as large as one may be",
    RecordingEnd.RECORDING_END_QUOTA: "all recorded files together are as large as they may be",
    RecordingEnd.RECORDING_END_DISK_FULL: "the node's disk is full",
    RecordingEnd.RECORDING_END_ERROR: "recording failed",
    RecordingEnd.RECORDING_END_INTERRUPTED: "palomard ended in the middle of it",
}
_UNASKED: Final = frozenset(
    {RecordingEnd.RECORDING_END_SHUTDOWN, RecordingEnd.RECORDING_END_FILE_SIZE}
)
_FAILED: Final = frozenset({RECORDING_STATUS_FAILED, RECORDING_STATUS_INTERRUPTED})
_NONE: Final = "-"
_HEADING: Final = ("ID", "STATUS", "END", "PACKETS", "BYTES", "LOST", "SIZE", "STARTED", "BY")


def has_failed(recording: Recording) -> bool:
    """Whether a recording ended for a reason nobody wished."""
    return recording.status in _FAILED


def lost_packets(counts: RecordingCounts) -> int:
    """How many packets were lost, at all stages together."""
    return sum(_lost(counts, field).packets for field, _, _ in _STAGES)


def written_text(counts: RecordingCounts) -> str:
    """Say what is in the file: `142 packets (98.2 KiB)`."""
    written = counts.written
    return f"{_packets(written.packets)} ({bytes_text(written.bytes)})"


def lost_text(counts: RecordingCounts) -> str:
    """Say what was lost: `3 lost (perf ring 3)`, or `none lost`."""
    parts = [
        f"{name} {count_text(_lost(counts, field).packets)}"
        for field, name, _ in _STAGES
        if _lost(counts, field).packets
    ]
    return f"{count_text(lost_packets(counts))} lost ({', '.join(parts)})" if parts else "none lost"


def result_texts(recording: Recording) -> tuple[str, str]:
    """Say what is in the file of a recording that has ended, and what was lost."""
    if _is_counted(recording):
        return written_text(recording.counts), lost_text(recording.counts)
    return bytes_text(recording.file_bytes), "packets and losses were not counted"


def _is_counted(recording: Recording) -> bool:
    """Whether the counts say anything: those of a palomard that was killed went with it."""
    return recording.status != RECORDING_STATUS_INTERRUPTED or bool(
        recording.counts.captured.packets or lost_packets(recording.counts)
    )


def loss_lines(counts: RecordingCounts) -> list[str]:
    """Say what to do about losses, a line a stage."""
    return [
        f"{_packets(_lost(counts, field).packets)} {advice}"
        for field, _, advice in _STAGES
        if _lost(counts, field).packets
    ]


def closing_lines(recording: Recording) -> list[str]:
    """Say what is to know of a recording that has ended, beside its counts.

    That is what was lost, that nothing came, and an end that nobody here asked for. What failed is
    told elsewhere.
    """
    lines = [*loss_lines(recording.counts), _nothing_line(recording)]
    stop = recording.request.stop
    late = recording.end == RecordingEnd.RECORDING_END_DURATION and not stop.HasField("duration")
    if late or recording.end in _UNASKED:
        lines.append(f"the recording ended early: {end_text(recording)}")
    return [line for line in lines if line]


def _nothing_line(recording: Recording) -> str:
    counts = recording.counts
    if counts.captured.packets or lost_packets(counts) or not _is_counted(recording):
        return ""
    if recording.request.trigger.filters and not recording.HasField("triggered"):
        return (
            "no packet of the trigger came; palomar observe with its filters shows whether there "
            "are such flows"
        )
    return (
        "no packet matched; palomar observe with the same filters shows whether there are such "
        "flows"
    )


def end_text(recording: Recording) -> str:
    """Say why a recording ended; empty while it goes on."""
    if not recording.end:
        return ""
    text = _ENDS.get(recording.end, f"of reason {recording.end}")
    return f"{text}: {visible(recording.message)}" if recording.message else text


def status_text(recording: Recording) -> str:
    """The name of what is the matter with a recording, such as `running`."""
    return _enum_text(RecordingStatus.items(), recording.status, "RECORDING_STATUS_")


def recordings_table(recordings: Iterable[Recording]) -> str:
    """Lay out recordings, one a row."""
    return table_text([_HEADING, *map(_row, recordings)])


def recording_details(recording: Recording) -> str:
    """Lay out all there is to say of one recording."""
    counts = recording.counts
    stop = recording.request.stop
    snaplen_bytes = recording.request.snaplen_bytes
    figures = (_amount(counts.captured), _amount(counts.written), lost_text(counts))
    captured, written, lost = figures if _is_counted(recording) else ("not counted",) * 3
    rows = [
        ("id", recording.id),
        ("node", recording.node_name),
        ("status", status_text(recording)),
        ("end", end_text(recording)),
        ("filter", filter_text(recording.request.filter)),
        ("trigger", _trigger_text(recording)),
        ("stops at", ", ".join([*_amounts(stop), *_spans(stop)])),
        ("snaplen", f"{count_text(snaplen_bytes)} bytes" if snaplen_bytes else ""),
        (
            "format",
            _enum_text(RecordingFormat.items(), recording.request.format, "RECORDING_FORMAT_"),
        ),
        ("started", time_text(recording.started, precise=True)),
        ("started by", recording.started_by),
        ("triggered", _time(recording, "triggered")),
        ("ended", _time(recording, "ended")),
        ("captured", captured),
        ("written", written),
        ("lost", lost.removesuffix(" lost")),
        ("interfaces", ", ".join(recording.interface_names)),
        ("file", recording.file_name),
        ("size", f"{count_text(recording.file_bytes)} bytes" if recording.file_bytes else ""),
        ("sha256", recording.sha256),
        ("kept until", _time(recording, "expires")),
    ]
    return table_text([(f"{name}:", visible(text)) for name, text in rows if text])


def goal_text(recording: Recording) -> str:
    """Say what a recording that has begun waits for, and what will end it."""
    stop = recording.request.stop
    ends = [f"it has {limit}" for limit in _amounts(stop)]
    ends += [f"{limit} have passed" for limit in _spans(stop)]
    end = ", ".join(ends) or "the node's limits end it"
    waits = "waits for its trigger, then " if recording.request.trigger.filters else ""
    return f"{waits}records until {end}, or it is stopped"


def _amounts(stop: RecordingStop) -> list[str]:
    """What a recording has when it ends."""
    return [
        *([_packets(stop.packets)] if stop.packets else []),
        *([bytes_text(stop.bytes)] if stop.bytes else []),
    ]


def _spans(stop: RecordingStop) -> list[str]:
    """How long it may last."""
    return [duration_text(stop.duration.ToNanoseconds())] if stop.HasField("duration") else []


def filter_text(packet_filter: PacketFilter) -> str:
    """Say which packets are meant."""
    parts = []
    if packet_filter.whitelist or packet_filter.blacklist:
        parts.append(describe_filters(packet_filter.whitelist, packet_filter.blacklist))
    if packet_filter.tuples:
        parts.append(f"packets {' or '.join(map(_tuple_text, packet_filter.tuples))}")
    if packet_filter.pcap_filter:
        parts.append(f"pcap-filter {packet_filter.pcap_filter!r}")
    ways = " (one way)" if packet_filter.one_way else ""
    return f"{' and '.join(parts)}{ways}" if parts else "every packet"


def _tuple_text(one: PacketTuple) -> str:
    words: Sequence[object] = (
        one.source_cidr,
        one.source_port,
        one.destination_cidr,
        one.destination_port,
        one.protocol,
    )
    return f"({' '.join(str(word or '*') for word in words)})"


def _trigger_text(recording: Recording) -> str:
    if not recording.request.HasField("trigger"):
        return ""
    trigger = recording.request.trigger
    text = describe_filters(trigger.filters, []) if trigger.filters else "none"
    if before_ns := trigger.before.ToNanoseconds():
        text += f", and {duration_text(before_ns)} before"
    return text


def _row(recording: Recording) -> list[str]:
    ended = recording.HasField("ended")
    counts = recording.counts
    figures = [
        count_text(counts.written.packets),
        bytes_text(counts.written.bytes),
        count_text(lost_packets(counts)),
    ]
    cells = [
        recording.id,
        status_text(recording),
        _enum_text(RecordingEnd.items(), recording.end, "RECORDING_END_")
        if recording.end
        else _NONE,
        *(figures if _is_counted(recording) else [_NONE] * len(figures)),
        bytes_text(recording.file_bytes) if ended and recording.file_name else _NONE,
        time_text(recording.started),
        recording.started_by or _NONE,
    ]
    return [visible(cell) for cell in cells]


def _lost(counts: RecordingCounts, field: str) -> PacketCount:
    found: PacketCount = getattr(counts, field)
    return found


def _packets(number: int) -> str:
    return f"{count_text(number)} packet{'' if number == 1 else 's'}"


def _amount(count: PacketCount) -> str:
    return f"{_packets(count.packets)}, {count_text(count.bytes)} bytes"


def _time(recording: Recording, field: Literal["triggered", "ended", "expires"]) -> str:
    if not recording.HasField(field):
        return ""
    return time_text(getattr(recording, field), precise=field != "expires")


def _enum_text(members: Iterable[tuple[str, int]], number: int, prefix: str) -> str:
    """The name of a value, or its number where a newer server has one more."""
    names = {value: name for name, value in members}
    return names.get(number, str(number)).removeprefix(prefix).lower().replace("_", "-")
