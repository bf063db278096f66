"""What answers about flows mean: the flows in them, and what is said beside these.

Decided here once for both kinds of clients; does no I/O. A batch of a hundred flows takes one turn
of the outer loop and no test for each of them, since reading flows is where a client spends its
time.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from palomar.flow_place import Position
from palomar.flow_recovery import FlowRecovery
from palomar_proto.flow.flow_pb2 import HUBBLE_RING_BUFFER, Flow, LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import Completeness, FlowBatch
from palomar_proto.relay.relay_pb2 import NodeStatusEvent

if TYPE_CHECKING:
    from palomar.gap import Gap

OnLost = Callable[[LostEvent], None]
OnNodeStatus = Callable[[NodeStatusEvent], None]

Answer: TypeAlias = FlowBatch | GetFlowsResponse


class FlowTally:
    """What a stream of flows has said beside its flows, and how far its reader is.

    Attributes:
        lost_events: Events that existed and could not be delivered so far: while it is 0, and
            `restarted` is false, what was received is complete, as far as the server knows.
        restarted: The server was restarted while the stream was interrupted; nobody knows how many
            events are lost between the two.
        completeness: What the last batch said about itself; `None` without batches.
    """

    def __init__(
        self,
        recovery: FlowRecovery,
        on_lost: OnLost | None,
        on_node_status: OnNodeStatus | None,
    ) -> None:
        self._recovery = recovery
        self._on_lost = on_lost
        self._on_node_status = on_node_status
        self.lost_events = 0
        self.restarted = False
        self.completeness: Completeness | None = None

    @property
    def resume_token(self) -> bytes:
        """Given to `observe`, it goes on behind the last flow read here; empty before the first.

        Servers other than palomard have no such tokens: it stays empty.
        """
        return self._recovery.place.token()

    @property
    def position(self) -> Position | None:
        """Where the last flow or notice stands that was read; `None` if unknown."""
        return self._recovery.place.position()

    @property
    def gaps(self) -> "tuple[Gap, ...]":
        """The interruptions that the stream has gone on after, the oldest first.

        At most the last hundred. Behind Hubble and its relay, one is known only when they send
        something again.
        """
        return tuple(self._recovery.gaps)

    def _flows(self, answer: Answer) -> Iterator[Flow]:
        """The flows of an answer; the rest of it is counted and passed on."""
        if isinstance(answer, GetFlowsResponse):
            if not self._recovery.take_response(answer):
                return iter(())
            self._note(answer)
            return iter((answer.flow,) if answer.HasField("flow") else ())
        self._begin(answer)
        responses = list(answer.responses)
        flows = [response.flow for response in responses if response.HasField("flow")]
        if len(flows) == len(responses):
            each = iter(flows)
            self._recovery.place.enter(answer, each)
            return each
        rest = iter(responses)
        self._recovery.place.enter(answer, rest)
        return self._flows_among(rest)

    def _flows_among(self, responses: Iterator[GetFlowsResponse]) -> Iterator[Flow]:
        for response in responses:
            self._note(response)
            if response.HasField("flow"):
                yield response.flow

    def _responses(self, answer: Answer) -> Iterator[GetFlowsResponse]:
        """The responses of an answer, counted; of a batch also a notice of what it lost itself."""
        if isinstance(answer, GetFlowsResponse):
            if self._recovery.take_response(answer):
                self._note(answer)
                yield answer
            return
        for loss in self._begin(answer):
            yield GetFlowsResponse(lost_events=loss, node_name=answer.node_name, time=loss.last)
        rest = iter(list(answer.responses))
        self._recovery.place.enter(answer, rest)
        for response in rest:
            self._note(response)
            yield response

    def _begin(self, batch: FlowBatch) -> list[LostEvent]:
        """Take in what a batch says of itself: losses that are not among its responses."""
        self.completeness = batch.completeness
        self.restarted |= batch.completeness.restarted
        losses = [one for one in batch.completeness.losses if one.source == HUBBLE_RING_BUFFER]
        for loss in losses:
            self._count(loss)
        self._recovery.begin(batch)
        return losses

    def _note(self, response: GetFlowsResponse) -> None:
        """Count and pass on what a response without a flow says."""
        if response.HasField("flow"):
            return
        if response.HasField("lost_events"):
            self._count(response.lost_events)
        elif response.HasField("node_status") and self._on_node_status is not None:
            self._on_node_status(response.node_status)

    def _count(self, loss: LostEvent) -> None:
        self.lost_events += loss.num_events_lost
        if self._on_lost is not None:
            self._on_lost(loss)
