"""What a caller asks to be recorded, checked and with defaults filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_bpf.capture_rule import PACKET_SNAPLEN_BYTES_MAX
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.name import check_name
from palomar_server.errors import InvalidRequest

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from palomar_server.recording_settings import RecordingSettings

DEFAULT_NAME = "palomar"
REQUEST_BYTES_MAX = 1 << 16
"""Of a request, which stands in the catalogue, beside the file, and in every list: all values that
filters may have, at 60 characters each."""
_NS_PER_S = 1_000_000_000
_SECONDS_MAX = 315_576_000_000
"""Of a Duration, by its definition: 10,000 years."""
_BEFORE_MAX_S = 3_600
_UNSPECIFIED = recordings_pb2.RECORDING_FORMAT_UNSPECIFIED
_PCAPNG = recordings_pb2.RECORDING_FORMAT_PCAPNG


def complete_request(
    request: recordings_pb2.StartRequest, settings: RecordingSettings
) -> recordings_pb2.StartRequest:
    """The request with its defaults filled in; what its filters say is checked elsewhere.

    Raises:
        InvalidRequest: a value breaks its rule.
    """
    if request.ByteSize() > REQUEST_BYTES_MAX:
        rule = f"bytes are over {REQUEST_BYTES_MAX:,}, as each request is kept"
        raise InvalidRequest("start", request.ByteSize(), rule)
    complete = recordings_pb2.StartRequest()
    complete.CopyFrom(request)
    # Whatever they are, the catalogue is no place for them.
    complete.DiscardUnknownFields()
    complete.name = request.name or DEFAULT_NAME
    try:
        check_name(complete.name)
    except ValueError as error:
        rule = "is not lower-case letters, digits and hyphens, up to 40, the first a letter"
        raise InvalidRequest("name", request.name, rule) from error
    # What nothing can be longer than is all of it.
    wanted = request.snaplen_bytes or PACKET_SNAPLEN_BYTES_MAX
    complete.snaplen_bytes = min(wanted, PACKET_SNAPLEN_BYTES_MAX)
    if request.format not in recordings_pb2.RecordingFormat.values():
        raise InvalidRequest("format", request.format, "is no RecordingFormat")
    if request.format == _UNSPECIFIED:
        complete.format = _PCAPNG
    bounded_ns("stop.duration", request.stop.duration, "recording_max_s", settings.recording_max_s)
    keep_ns = bounded_ns("keep", request.keep, "recordings_keep_s", settings.recordings_keep_s)
    complete.keep.FromNanoseconds(keep_ns or int(settings.recordings_keep_s * _NS_PER_S))
    if request.HasField("trigger"):
        before_ns = bounded_ns("trigger.before", request.trigger.before, "an hour", _BEFORE_MAX_S)
        if not request.trigger.filters and not before_ns:
            rule = "says neither with which packet to begin nor how long before it"
            raise InvalidRequest("trigger", "", rule)
        if not request.trigger.filters and not settings.flight_recorder_bytes:
            rule = "needs trigger.filters, or the node's setting flight_recorder_bytes"
            raise InvalidRequest("trigger.before", f"{before_ns / _NS_PER_S:g}s", rule)
    return complete


def bounded_ns(field: str, duration: Duration, bound: str, most_s: float) -> int:
    """A duration in nanoseconds.

    Args:
        field: its name, for the error.
        duration: as it came.
        bound: what sets the most, for the error.
        most_s: seconds.

    Raises:
        InvalidRequest: it is negative, over the most, or no duration.
    """
    text = f"{duration.seconds}.{abs(duration.nanos):09d}s"
    if abs(duration.seconds) > _SECONDS_MAX or abs(duration.nanos) >= _NS_PER_S:
        raise InvalidRequest(field, text, "is no duration")
    nanoseconds: int = duration.ToNanoseconds()
    if nanoseconds < 0:
        raise InvalidRequest(field, text, "is negative")
    if nanoseconds > most_s * _NS_PER_S:
        raise InvalidRequest(field, text, f"is over {most_s:g} s, which is {bound}")
    return nanoseconds
