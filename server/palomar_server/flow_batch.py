"""One portion of a stream as FlowBatch messages: bytes around responses that are bytes already.

The responses are by far the most of it. They are only joined, each behind its length; what stands
around them is the same few bytes for one flow or for a thousand.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import flow_batches_pb2
from palomar_server.protobuf_bytes import field
from palomar_server.reading import Portion
from palomar_server.ring_loss import NOTHING, RingLoss
from palomar_server.table import Kind
from palomar_server.table import joined as joined_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

_NUMBER_SEQUENCES = flow_batches_pb2.FlowBatch.SEQUENCES_FIELD_NUMBER


def frame(responses: list[bytes], sequences: list[int]) -> bytes:
    """The fields `responses` and `sequences` of a FlowBatch.

    Args:
        responses: GetFlowsResponse messages as such a field, serialised with tag and length.
        sequences: of each one.
    """
    if not responses:
        return b""
    numbers = field(_NUMBER_SEQUENCES, np.array(sequences, "<u8").tobytes())
    return b"".join((*responses, numbers))


def pieces(responses: list[bytes], responses_max: int, bytes_max: int) -> Iterator[slice]:
    """Which responses go into one batch each; one slice, perhaps empty, where all fit.

    Args:
        responses: as of `frame`.
        responses_max: so many of them at most.
        bytes_max: so many bytes of them at most; passed by one that has more by itself.
    """
    if len(responses) <= responses_max and sum(map(len, responses)) <= bytes_max:
        yield slice(0, len(responses))
        return
    starts, size = [0], 0
    for index, response in enumerate(responses):
        size += len(response)
        if index > starts[-1] and (size > bytes_max or index - starts[-1] == responses_max):
            starts.append(index)
            size = len(response)
    for start, end in pairwise((*starts, len(responses))):
        yield slice(start, end)


def losses(portion: Portion, rows: slice) -> list[flow_pb2.LostEvent]:
    """What was lost, summed up by source: the portion's own loss, and what its notices tell.

    Args:
        portion: what a reading gave.
        rows: which of its notices count; the portion's own loss goes with its first row.
    """
    sums: dict[int, flow_pb2.LostEvent] = {}
    if portion.lost.events and rows.start == 0:
        own = flow_pb2.LostEvent.FromString(portion.lost.message())
        sums[own.source] = own
    notices = (portion.rows["kind"][rows] == Kind.LOST).nonzero()[0] + rows.start
    for index in notices.tolist():
        notice = flow_pb2.LostEvent.FromString(portion.messages[portion.sequences[index]])
        time_ns = int(portion.rows["time_ns"][index])
        for name in ("first", "last"):
            if not notice.HasField(name):
                getattr(notice, name).FromNanoseconds(time_ns)
        kept = sums.setdefault(notice.source, notice)
        if kept is not notice:
            kept.num_events_lost += notice.num_events_lost
            kept.first.CopyFrom(min(kept.first, notice.first, key=_instant))
            kept.last.CopyFrom(max(kept.last, notice.last, key=_instant))
        kept.ClearField("cpu")
    return list(sums.values())


def _instant(stamp: Timestamp) -> tuple[int, int]:
    return stamp.seconds, stamp.nanos


def joined(portion: Portion, more: Portion) -> Portion:
    """A portion and the one that follows it as one, with their losses told in front."""
    losses = [one for one in (portion.lost, more.lost) if one.events]
    lost = NOTHING
    if losses:
        events = sum(one.events for one in losses)
        lost = RingLoss(events, losses[0].first_ns, losses[-1].last_ns)
    return Portion(
        joined_rows(portion.rows, more.rows),
        portion.sequences + more.sequences,
        portion.messages | more.messages,
        lost,
        more.position,
        more.oldest,
        more.complete,
    )


def flows_behind(portion: Portion, sequence: int) -> int:
    """How many flows of a portion come after the event with this sequence number."""
    behind = np.array(portion.sequences, np.int64) > sequence
    return int(np.count_nonzero(behind & (portion.rows["kind"] == Kind.FLOW)))
