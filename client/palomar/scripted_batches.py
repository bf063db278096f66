"""Responses written down beforehand as the batches that palomard would make of them.

For `testing.FakeObserver`. The token is the place in the script, and says so in plain numbers.
"""

import struct
from collections.abc import Sequence

from palomar_proto.flow.flow_pb2 import HUBBLE_RING_BUFFER, LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import BatchOptions, Completeness, FlowBatch

RUN_ID = 1
"""The run of every script."""

_TOKEN = struct.Struct(">Q")
_RECEIVED = struct.Struct(">QQ")


class ScriptedBatches:
    """Batches of a script; its responses have the sequences 0, 1, 2, ….

    Args:
        responses: The script.
    """

    def __init__(self, responses: Sequence[GetFlowsResponse]) -> None:
        self._responses = responses

    def answer(self, request: GetFlowsRequest, *, ended: bool) -> list[FlowBatch]:
        """What a request gets: everything, or what is left behind its token.

        Args:
            request: Its options say how many responses a batch may have.
            ended: Whether the last batch says that it is the last.
        """
        options = BatchOptions()
        request.extensions.Unpack(options)
        start = self._start(options.resume_token)
        size = options.responses_max or len(self._responses) or 1
        places = range(start, len(self._responses), size)
        batches = [self._batch(place, place + size) for place in places]
        if ended:
            batches = batches or [self._batch(start, start)]
            batches[-1].completeness.end_reached = True
        return batches

    @staticmethod
    def _start(token: bytes) -> int:
        if not token:
            return 0
        if appended := token[_TOKEN.size :]:
            received: int = _RECEIVED.unpack(appended)[0]
            return received + 1
        start: int = _TOKEN.unpack(token)[0]
        return start

    def _batch(self, start: int, end: int) -> FlowBatch:
        end = min(end, len(self._responses))
        batch = FlowBatch(
            run_id=RUN_ID,
            node_name=next((one.node_name for one in self._responses[start:end]), ""),
            completeness=Completeness(next_sequence=end),
            resume_token=_TOKEN.pack(end),
        )
        for sequence, response in enumerate(self._responses[start:end], start):
            lost = response.lost_events
            if response.HasField("lost_events"):
                _add(batch.completeness, lost)
            if lost.source != HUBBLE_RING_BUFFER:
                batch.responses.append(response)
                batch.sequences.append(sequence)
        return batch


def _add(completeness: Completeness, lost: LostEvent) -> None:
    for loss in completeness.losses:
        if loss.source == lost.source:
            loss.num_events_lost += lost.num_events_lost
            return
    completeness.losses.append(lost)
