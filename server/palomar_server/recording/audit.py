"""The log of who recorded what, and what became of it: one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from google.protobuf.json_format import MessageToJson

from palomar_proto.palomar.v1 import recordings_pb2

if TYPE_CHECKING:
    from palomar_server.peer import Peer

log = structlog.get_logger(__name__)

_FILTER_CHARACTERS_MAX = 2_000


def audit(event: str, recording: recordings_pb2.Recording, peer: Peer, **values: str | int) -> None:
    """Log what somebody did with a recording.

    Args:
        event: what.
        recording: with which.
        peer: who.
        values: further facts.
    """
    log.info(
        event,
        id=recording.id,
        who=peer.who,
        peer=peer.address,
        started_by=recording.started_by,
        filter=_text(recording),
        file=recording.file_name,
        **values,
    )


def audit_end(recording: recordings_pb2.Recording) -> None:
    """Log how a recording ended: as a warning where it lost packets, or failed."""
    counts = recording.counts
    lost = {
        stage: getattr(counts, f"lost_{stage}").packets
        for stage in ("perf_ring", "sink_queue", "disk")
        if getattr(counts, f"lost_{stage}").packets
    }
    failed = recording.status == recordings_pb2.RECORDING_STATUS_FAILED
    tell = log.warning if lost or failed else log.info
    tell(
        "recording ended",
        id=recording.id,
        started_by=recording.started_by,
        end=recordings_pb2.RecordingEnd.Name(recording.end).removeprefix("RECORDING_END_"),
        why=recording.message,
        packets=counts.written.packets,
        bytes=counts.written.bytes,
        lost=lost,
        file=recording.file_name,
        file_bytes=recording.file_bytes,
    )


def _text(recording: recordings_pb2.Recording) -> str:
    text = MessageToJson(recording.request.filter, indent=None, preserving_proto_field_name=True)
    return text if len(text) <= _FILTER_CHARACTERS_MAX else f"{text[:_FILTER_CHARACTERS_MAX]}…"
