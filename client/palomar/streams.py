"""Streams: the responses of one call in, flows or events out, losses counted.

How to wait for the next response is in `_Stream` and `_AsyncStream`; what a response of GetFlows
means is decided in `StreamTally`, once. Made by the methods of `Client` and `AsyncClient`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from palomar.rpc import translated
from palomar.target import Target
from palomar_proto.flow.flow_pb2 import Flow, LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsResponse
from palomar_proto.relay.relay_pb2 import NodeStatusEvent

OnLost = Callable[[LostEvent], None]
OnNodeStatus = Callable[[NodeStatusEvent], None]


ResponseT = TypeVar("ResponseT")
_ReceivedT_co = TypeVar("_ReceivedT_co", covariant=True)


class _Call(Protocol[_ReceivedT_co]):
    """What gRPC returns for a call with a stream of answers; its own type has no public name."""

    def __iter__(self) -> Iterator[_ReceivedT_co]: ...

    def cancel(self) -> bool: ...


class _AsyncCall(Protocol[_ReceivedT_co]):
    """The same of grpc.aio."""

    def __aiter__(self) -> AsyncIterator[_ReceivedT_co]: ...

    def cancel(self) -> bool: ...


class _Stream(Generic[ResponseT]):
    """The responses of one call; iterate once. Closing it or leaving its `with` block ends it."""

    def __init__(self, call: _Call[ResponseT], target: Target) -> None:
        self._call = call
        self._target = target

    def responses(self) -> Iterator[ResponseT]:
        """Yield whole responses in their order; of flows these include losses and node states.

        Raises:
            PalomarError: See `palomar.errors`. A stream cancelled by either side just ends.
        """
        try:
            with translated(self._target, cancelled_ends=True):
                for response in self._call:
                    self._received(response)
                    yield response
        finally:
            self.close()

    def _received(self, response: ResponseT) -> None:
        """Look at a response before it is handed on."""

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


class _AsyncStream(Generic[ResponseT]):
    """`_Stream` for asyncio: `async for`, `async with`."""

    def __init__(self, call: _AsyncCall[ResponseT], target: Target) -> None:
        self._call = call
        self._target = target
        self._closed = False

    async def responses(self) -> AsyncIterator[ResponseT]:
        """Yield whole responses, as `_Stream.responses` does."""
        try:
            with translated(self._target, cancelled_ends=True):
                async for response in self._call:
                    self._received(response)
                    yield response
        except asyncio.CancelledError:
            # grpc.aio raises it for a call closed here; only the task's own must pass on.
            if not self._closed:
                raise
        finally:
            self.close()

    def _received(self, response: ResponseT) -> None:
        """Look at a response before it is handed on."""

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


class EventStream(_Stream[ResponseT]):
    """Responses of GetAgentEvents or GetDebugEvents as they arrive.

    Each has the event with its `time` and `node_name`, which the event itself does not know.
    """

    def __iter__(self) -> Iterator[ResponseT]:
        return self.responses()


class AsyncEventStream(_AsyncStream[ResponseT]):
    """`EventStream` for asyncio."""

    def __aiter__(self) -> AsyncIterator[ResponseT]:
        return self.responses()


class StreamTally:
    """What a stream of flows has said beside its flows.

    Attributes:
        lost_events: Events that existed and could not be delivered so far: while it is 0, what
            was received is complete, as far as the server knows.
    """

    def __init__(self, on_lost: OnLost | None, on_node_status: OnNodeStatus | None) -> None:
        self._on_lost = on_lost
        self._on_node_status = on_node_status
        self.lost_events = 0

    def _received(self, response: GetFlowsResponse) -> None:
        """Count and pass on what a response without a flow says."""
        if response.HasField("flow"):
            return
        if response.HasField("lost_events"):
            self.lost_events += response.lost_events.num_events_lost
            if self._on_lost is not None:
                self._on_lost(response.lost_events)
        elif response.HasField("node_status") and self._on_node_status is not None:
            self._on_node_status(response.node_status)


class FlowStream(StreamTally, _Stream[GetFlowsResponse]):
    """Flows as they arrive; iterate once. Closing it or leaving its `with` block ends the call."""

    def __init__(
        self,
        call: _Call[GetFlowsResponse],
        target: Target,
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
    ) -> None:
        StreamTally.__init__(self, on_lost, on_node_status)
        _Stream.__init__(self, call, target)

    def __iter__(self) -> Iterator[Flow]:
        for response in self.responses():
            if response.HasField("flow"):
                yield response.flow


class AsyncFlowStream(StreamTally, _AsyncStream[GetFlowsResponse]):
    """`FlowStream` for asyncio: `async for`, `async with`."""

    def __init__(
        self,
        call: _AsyncCall[GetFlowsResponse],
        target: Target,
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
    ) -> None:
        StreamTally.__init__(self, on_lost, on_node_status)
        _AsyncStream.__init__(self, call, target)

    async def __aiter__(self) -> AsyncIterator[Flow]:
        async for response in self.responses():
            if response.HasField("flow"):
                yield response.flow
