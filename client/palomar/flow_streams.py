"""Flows as they arrive, from batches or one by one, with what is said beside them.

A batch of a hundred flows takes one turn of the outer loop and no test for each of them, since
reading flows is where a client spends its time. What a response means is decided in `FlowTally`,
once for both kinds of clients.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeAlias

import grpc

from palomar.flow_calls import FlowCalls
from palomar.flow_place import FlowPlace, Position
from palomar.streams import AsyncCall, AsyncStream, Call, Stream
from palomar.target import Target
from palomar_proto.flow.flow_pb2 import HUBBLE_RING_BUFFER, Flow, LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import BatchOptions, Completeness, FlowBatch
from palomar_proto.relay.relay_pb2 import NodeStatusEvent

OnLost = Callable[[LostEvent], None]
OnNodeStatus = Callable[[NodeStatusEvent], None]

_Answer: TypeAlias = FlowBatch | GetFlowsResponse

SyncFlowCalls: TypeAlias = FlowCalls[Call[FlowBatch], Call[GetFlowsResponse]]
AsyncFlowCalls: TypeAlias = FlowCalls[AsyncCall[FlowBatch], AsyncCall[GetFlowsResponse]]


class FlowTally:
    """What a stream of flows has said beside its flows, and how far its reader is.

    Attributes:
        lost_events: Events that existed and could not be delivered so far: while it is 0, and
            `restarted` is false, what was received is complete, as far as the server knows.
        restarted: The server was restarted between the stream that was resumed and this one;
            nobody knows how many events are lost between the two.
        completeness: What the last batch said about itself; `None` without batches.
    """

    def __init__(
        self,
        request: GetFlowsRequest,
        on_lost: OnLost | None,
        on_node_status: OnNodeStatus | None,
    ) -> None:
        options = BatchOptions()
        request.extensions.Unpack(options)
        self._place = FlowPlace(options.resume_token)
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
        return self._place.token()

    @property
    def position(self) -> Position | None:
        """Where the last flow or notice stands that was read; `None` if unknown."""
        return self._place.position()

    def _flows(self, answer: _Answer) -> Iterator[Flow]:
        """The flows of an answer; the rest of it is counted and passed on."""
        if isinstance(answer, GetFlowsResponse):
            self._note(answer)
            return iter((answer.flow,) if answer.HasField("flow") else ())
        self._begin(answer)
        responses = list(answer.responses)
        flows = [response.flow for response in responses if response.HasField("flow")]
        if len(flows) == len(responses):
            each = iter(flows)
            self._place.enter(answer, each)
            return each
        rest = iter(responses)
        self._place.enter(answer, rest)
        return self._flows_among(rest)

    def _flows_among(self, responses: Iterator[GetFlowsResponse]) -> Iterator[Flow]:
        for response in responses:
            self._note(response)
            if response.HasField("flow"):
                yield response.flow

    def _responses(self, answer: _Answer) -> Iterator[GetFlowsResponse]:
        """The responses of an answer, counted; of a batch also a notice of what it lost itself."""
        if isinstance(answer, GetFlowsResponse):
            self._note(answer)
            yield answer
            return
        for loss in self._begin(answer):
            yield GetFlowsResponse(lost_events=loss, node_name=answer.node_name, time=loss.last)
        rest = iter(list(answer.responses))
        self._place.enter(answer, rest)
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


class FlowStream(FlowTally, Stream[_Answer]):
    """Flows as they arrive; iterate once. Closing it or leaving its `with` block ends the call.

    Made by `Client`.
    """

    def __init__(
        self,
        calls: SyncFlowCalls,
        request: GetFlowsRequest,
        target: Target,
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
    ) -> None:
        FlowTally.__init__(self, request, on_lost, on_node_status)
        call, self._batched = calls.open(request)
        Stream.__init__(self, call, target)
        self._calls = calls
        self._request = request

    def __iter__(self) -> Iterator[Flow]:
        for answer in self._answers():
            yield from self._flows(answer)

    def responses(self) -> Iterator[GetFlowsResponse]:
        """Yield whole responses in their order, including losses and node states.

        Raises:
            PalomarError: See `palomar.errors`. A stream cancelled by either side just ends.
        """
        for answer in self._answers():
            yield from self._responses(answer)

    def _arriving(self) -> Iterator[_Answer]:
        try:
            for answer in self._call:
                self._calls.batched = self._batched
                yield answer
        except grpc.RpcError as error:
            flows = self._calls.instead(self._request, error) if self._batched else None
            if flows is None:
                raise
        else:
            return
        self._call, self._batched = flows, False
        if self._closed:
            flows.cancel()
        # Only what this call answers says that it was the batches that the server lacks.
        for answer in flows:
            self._calls.batched = False
            yield answer
        self._calls.batched = False


class AsyncFlowStream(FlowTally, AsyncStream[_Answer]):
    """`FlowStream` for asyncio. Made by `AsyncClient`."""

    def __init__(
        self,
        calls: AsyncFlowCalls,
        request: GetFlowsRequest,
        target: Target,
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
    ) -> None:
        FlowTally.__init__(self, request, on_lost, on_node_status)
        call, self._batched = calls.open(request)
        AsyncStream.__init__(self, call, target)
        self._calls = calls
        self._request = request

    async def __aiter__(self) -> AsyncIterator[Flow]:
        async for answer in self._answers():
            for flow in self._flows(answer):
                yield flow

    async def responses(self) -> AsyncIterator[GetFlowsResponse]:
        """Yield whole responses, as `FlowStream.responses` does."""
        async for answer in self._answers():
            for response in self._responses(answer):
                yield response

    async def _arriving(self) -> AsyncIterator[_Answer]:
        try:
            async for answer in self._call:
                self._calls.batched = self._batched
                yield answer
        except grpc.RpcError as error:
            flows = self._calls.instead(self._request, error) if self._batched else None
            if flows is None:
                raise
        else:
            return
        self._call, self._batched = flows, False
        if self._closed:
            flows.cancel()
        async for answer in flows:
            self._calls.batched = False
            yield answer
        self._calls.batched = False
