"""Flows as they arrive, from batches or one by one, and from one call after another.

What an answer means is decided in `FlowTally`, and where to go on after a failure in
`FlowRecovery`. Here the calls are opened and read.
"""

from collections.abc import AsyncIterator, Iterator
from typing import TypeAlias

import grpc

from palomar.errors import PalomarError
from palomar.flow_calls import BatchCallT, FlowCalls, FlowCallT
from palomar.flow_recovery import FlowRecovery
from palomar.flow_tally import Answer, FlowTally, OnLost, OnNodeStatus
from palomar.reconnection import Reconnect
from palomar.recovery import OnGap, OnReconnect
from palomar.reopening import CallReopening
from palomar.streams import AsyncCall, AsyncStream, Call, Stream
from palomar.target import Target
from palomar_proto.flow.flow_pb2 import Flow
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch

__all__ = [
    "AsyncFlowCalls",
    "AsyncFlowStream",
    "FlowStream",
    "OnGap",
    "OnLost",
    "OnNodeStatus",
    "OnReconnect",
    "SyncFlowCalls",
]

SyncFlowCalls: TypeAlias = FlowCalls[Call[FlowBatch], Call[GetFlowsResponse]]
AsyncFlowCalls: TypeAlias = FlowCalls[AsyncCall[FlowBatch], AsyncCall[GetFlowsResponse]]


class FlowReopening(CallReopening[GetFlowsRequest, BatchCallT | FlowCallT, Answer]):
    """Of a stream of flows, which come in batches or one by one.

    Args:
        calls: Makes the calls.
        recovery: Decides when, and with which request.
        target: Who is asked.
    """

    def __init__(
        self, calls: FlowCalls[BatchCallT, FlowCallT], recovery: FlowRecovery, target: Target
    ) -> None:
        super().__init__(self._call, recovery, self._take_any, target)
        self._calls = calls
        self._flow_recovery = recovery
        self._batched = False
        self._instead: FlowCallT | None = None

    def answered(self) -> None:
        """Note how this server is to be asked, which only what a call answers says."""
        self._calls.batched = self._batched
        super().answered()

    def delay_s(self, error: grpc.RpcError | PalomarError) -> float | None:
        """How long to wait after a failure, in seconds; `None`: give up."""
        if self._batched and isinstance(error, grpc.RpcError):
            self._instead = self._calls.instead(self._flow_recovery.request, error)
            if self._instead is not None:
                return 0.0
        return super().delay_s(error)

    def _call(self, request: GetFlowsRequest) -> BatchCallT | FlowCallT:
        if self._instead is not None:
            flows, self._instead, self._batched = self._instead, None, False
            return flows
        if self._flow_recovery.elsewhere:
            self._calls.batched = None
        call, self._batched = self._calls.open(request)
        return call

    @staticmethod
    def _take_any(answer: Answer) -> bool:
        del answer  # `FlowTally` looks into it
        return True


class FlowStream(FlowTally, Stream[Answer]):
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
        *,
        on_gap: OnGap | None = None,
        on_reconnect: OnReconnect | None = None,
        reconnect: Reconnect | None = None,
    ) -> None:
        recovery = FlowRecovery(request, reconnect, on_gap, on_reconnect)
        FlowTally.__init__(self, recovery, on_lost, on_node_status)
        reopening = FlowReopening(calls, recovery, target)
        Stream.__init__(self, reopening.open(), target, reopening)
        calls.keep(self)

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


class AsyncFlowStream(FlowTally, AsyncStream[Answer]):
    """`FlowStream` for asyncio. Made by `AsyncClient`."""

    def __init__(
        self,
        calls: AsyncFlowCalls,
        request: GetFlowsRequest,
        target: Target,
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
        *,
        on_gap: OnGap | None = None,
        on_reconnect: OnReconnect | None = None,
        reconnect: Reconnect | None = None,
    ) -> None:
        recovery = FlowRecovery(request, reconnect, on_gap, on_reconnect)
        FlowTally.__init__(self, recovery, on_lost, on_node_status)
        reopening = FlowReopening(calls, recovery, target)
        AsyncStream.__init__(self, reopening.open(), target, reopening)
        calls.keep(self)

    async def __aiter__(self) -> AsyncIterator[Flow]:
        async for answer in self._answers():
            for flow in self._flows(answer):
                yield flow

    async def responses(self) -> AsyncIterator[GetFlowsResponse]:
        """Yield whole responses, as `FlowStream.responses` does."""
        async for answer in self._answers():
            for response in self._responses(answer):
                yield response
