"""Streams of flows: the responses of one GetFlows call in, flows out, losses counted.

What a response means is decided in `StreamTally`, once; `FlowStream` and `AsyncFlowStream` add only
how to wait for the next one. Made by `Client.observe` and `AsyncClient.observe`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from palomar.rpc import translated
from palomar.target import Target
from palomar_proto.flow.flow_pb2 import Flow, LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsResponse
from palomar_proto.relay.relay_pb2 import NodeStatusEvent

if TYPE_CHECKING:
    import grpc.aio

    from palomar_proto.observer.observer_pb2 import GetFlowsRequest

OnLost = Callable[[LostEvent], None]
OnNodeStatus = Callable[[NodeStatusEvent], None]


class _Call(Protocol):
    """What gRPC returns for a call with a stream of answers; its own type has no public name."""

    def __iter__(self) -> Iterator[GetFlowsResponse]: ...

    def cancel(self) -> bool: ...


class StreamTally:
    """What a stream has said beside its flows.

    Attributes:
        lost_events: Events that existed and could not be delivered so far: while it is 0, what
            was received is complete, as far as the server knows.
    """

    def __init__(
        self, target: Target, on_lost: OnLost | None, on_node_status: OnNodeStatus | None
    ) -> None:
        self._target = target
        self._on_lost = on_lost
        self._on_node_status = on_node_status
        self.lost_events = 0

    def _note(self, response: GetFlowsResponse) -> None:
        """Count and pass on what a response without a flow says."""
        if response.HasField("lost_events"):
            self.lost_events += response.lost_events.num_events_lost
            if self._on_lost is not None:
                self._on_lost(response.lost_events)
        elif response.HasField("node_status") and self._on_node_status is not None:
            self._on_node_status(response.node_status)


class FlowStream(StreamTally):
    """Flows as they arrive; iterate once. Closing it or leaving its `with` block ends the call."""

    def __init__(
        self,
        call: _Call,
        target: Target,
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
    ) -> None:
        super().__init__(target, on_lost, on_node_status)
        self._call = call

    def __iter__(self) -> Iterator[Flow]:
        for response in self.responses():
            if response.HasField("flow"):
                yield response.flow

    def responses(self) -> Iterator[GetFlowsResponse]:
        """Yield whole responses: flows, losses and node status changes in their order.

        Raises:
            PalomarError: See `palomar.errors`. A stream cancelled by either side just ends.
        """
        try:
            with translated(self._target, cancelled_ends=True):
                for response in self._call:
                    if not response.HasField("flow"):
                        self._note(response)
                    yield response
        finally:
            self.close()

    def close(self) -> None:
        """End the call; may be called from another thread, and again."""
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncFlowStream(StreamTally):
    """`FlowStream` for asyncio: `async for`, `async with`."""

    def __init__(
        self,
        call: "grpc.aio.UnaryStreamCall[GetFlowsRequest, GetFlowsResponse]",
        target: Target,
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
    ) -> None:
        super().__init__(target, on_lost, on_node_status)
        self._call = call
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[Flow]:
        async for response in self.responses():
            if response.HasField("flow"):
                yield response.flow

    async def responses(self) -> AsyncIterator[GetFlowsResponse]:
        """Yield whole responses, as `FlowStream.responses` does."""
        try:
            with translated(self._target, cancelled_ends=True):
                async for response in self._call:
                    if not response.HasField("flow"):
                        self._note(response)
                    yield response
        except asyncio.CancelledError:
            # grpc.aio raises it for a call closed here; only the task's own must pass on.
            if not self._closed:
                raise
        finally:
            self.close()

    def close(self) -> None:
        """End the call; may be called again."""
        self._closed = True
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
