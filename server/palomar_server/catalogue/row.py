"""A row of the catalogue: a recording as a message, and beside it what is worth a query.

The message is the truth. The columns beside it are made from it whenever it is written, for queries
and for people with a database client; nothing reads them back into a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.json_format import MessageToJson

from palomar_proto.palomar.v1 import recordings_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

_INTEGER_MAX = (1 << 63) - 1
"""Of BIGINT; nanoseconds up to the year 2262."""
_STATUS_PREFIX = "RECORDING_STATUS_"
_END_PREFIX = "RECORDING_END_"

Value = str | int | bytes | None
"""What a column may hold."""


def row_of(recording: pb.Recording) -> dict[str, Value]:
    """A recording as a row: column -> value, as `tables` has them."""
    counts = recording.counts
    lost = (counts.lost_perf_ring, counts.lost_sink_queue, counts.lost_disk)
    return {
        "node_name": _text(recording.node_name),
        "id": _text(recording.id),
        "name": _text(recording.request.name),
        "status": status_name(recording.status),
        "end": _short(pb.RecordingEnd, recording.end, _END_PREFIX),
        "message": _text(recording.message),
        "started_by": _text(recording.started_by),
        "started_ns": _ns(recording.started) if recording.HasField("started") else 0,
        "ended_ns": _ns(recording.ended) if recording.HasField("ended") else None,
        "expires_ns": _ns(recording.expires) if recording.HasField("expires") else None,
        "captured_packets": _integer(counts.captured.packets),
        "captured_bytes": _integer(counts.captured.bytes),
        "written_packets": _integer(counts.written.packets),
        "written_bytes": _integer(counts.written.bytes),
        "lost_packets": _integer(sum(count.packets for count in lost)),
        "file_name": _text(recording.file_name),
        "file_bytes": _integer(recording.file_bytes),
        "sha256": _text(recording.sha256),
        "request_json": MessageToJson(
            recording.request, indent=None, preserving_proto_field_name=True
        ),
        "recording": recording.SerializeToString(),
    }


def recording_of(message: bytes) -> pb.Recording:
    """The recording of a row, from its column `recording`."""
    return pb.Recording.FromString(message)


def status_name(status: int) -> str:
    """A `RecordingStatus` as the column has it: in lower case, without its prefix."""
    return _short(pb.RecordingStatus, status, _STATUS_PREFIX)


def _short(enum: type[pb.RecordingStatus | pb.RecordingEnd], number: int, prefix: str) -> str:
    """A value's name; a later release's value is its number."""
    if number not in enum.values():
        return str(number)
    name: str = enum.Name(number)  # type: ignore[arg-type]  # the stub wants the enum's own type
    return name.removeprefix(prefix).lower()


def _ns(timestamp: Timestamp) -> int:
    return _integer(timestamp.seconds * 1_000_000_000 + timestamp.nanos)


def _integer(value: int) -> int:
    return max(min(value, _INTEGER_MAX), -_INTEGER_MAX)


def _text(value: str) -> str:
    """PostgreSQL's text has no zero character."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
