"""The client for asyncio: `Client` with `await`, `async for` and `async with`.

    async with AsyncClient() as client:
        async for flow in client.observe(pod="web", follow=True):
            ...

Everything but the calls is shared with `Client`, where the arguments are explained.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self, Unpack, cast

import grpc.aio

from palomar.errors import InvalidRequest, Unsupported
from palomar.filters import Filter
from palomar.flow_calls import FlowCalls
from palomar.flow_streams import AsyncFlowCalls, AsyncFlowStream, OnLost, OnNodeStatus
from palomar.health import HEALTH_METHOD, Health, decode_health_response, encode_health_request
from palomar.requests import (
    Batching,
    EventKeywords,
    ObserveKeywords,
    Selection,
    add_batch_options,
    events_request,
    keyword_request,
)
from palomar.rpc import CONNECT_TIMEOUT_S, REQUEST_TIMEOUT_S, channel_options, translated
from palomar.streams import AsyncBatchStream, AsyncEventStream
from palomar.target import parse_target
from palomar_proto.flow.flow_pb2 import FlowFilter
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetDebugEventsRequest,
    GetDebugEventsResponse,
    GetFlowsRequest,
    ServerStatusRequest,
    ServerStatusResponse,
)
from palomar_proto.observer.observer_pb2_grpc import ObserverStub
from palomar_proto.palomar.v1.flow_batches_pb2_grpc import FlowBatchesStub


class AsyncClient:
    """A connection to one server; make and use it in one event loop. See `Client`."""

    def __init__(
        self,
        server: str | None = None,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._target = parse_target(server)
        self._request_timeout_s = request_timeout_s
        self._channel = grpc.aio.insecure_channel(
            self._target.address, channel_options(connect_timeout_s)
        )
        self._observer = ObserverStub(self._channel)
        self._flow_calls: AsyncFlowCalls = FlowCalls(
            FlowBatchesStub(self._channel).GetFlowBatches, self._observer.GetFlows
        )

    @property
    def server(self) -> str:
        """The server as it was given."""
        return self._target.text

    def observe(
        self,
        *filters: Filter | FlowFilter,
        exclude: Iterable[Filter | FlowFilter] = (),
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
        resume: bytes = b"",
        **keywords: Unpack[ObserveKeywords],
    ) -> AsyncFlowStream:
        """Read flows; see `Client.observe`. Not a coroutine: iterate over what it returns."""
        request = keyword_request(filters, exclude, time.time_ns(), **keywords)
        add_batch_options(request, resume)
        return self.stream(request, on_lost=on_lost, on_node_status=on_node_status)

    def stream(
        self,
        request: GetFlowsRequest,
        *,
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
    ) -> AsyncFlowStream:
        """Send a request that is ready; otherwise like `observe`."""
        return AsyncFlowStream(self._flow_calls, request, self._target, on_lost, on_node_status)

    def flow_batches(
        self,
        *filters: Filter | FlowFilter,
        exclude: Iterable[Filter | FlowFilter] = (),
        batching: Batching | None = None,
        resume: bytes = b"",
        **keywords: Unpack[ObserveKeywords],
    ) -> AsyncBatchStream:
        """Read flows as batches; see `Client.flow_batches`. Not a coroutine."""
        request = keyword_request(filters, exclude, time.time_ns(), **keywords)
        add_batch_options(request, resume, batching)
        return AsyncBatchStream(self._flow_calls.batches(request), self._target)

    def agent_events(
        self, **keywords: Unpack[EventKeywords]
    ) -> AsyncEventStream[GetAgentEventsResponse]:
        """Read what the agent did; see `Client.agent_events`. Not a coroutine."""
        selection = Selection(**keywords)
        request = events_request(GetAgentEventsRequest, selection, time.time_ns())
        return self.agent_event_stream(request)

    def agent_event_stream(
        self, request: GetAgentEventsRequest
    ) -> AsyncEventStream[GetAgentEventsResponse]:
        """Send a request that is ready; otherwise like `agent_events`."""
        return AsyncEventStream(self._observer.GetAgentEvents(request), self._target)

    def debug_events(
        self, **keywords: Unpack[EventKeywords]
    ) -> AsyncEventStream[GetDebugEventsResponse]:
        """Read debug messages; see `Client.debug_events`. Not a coroutine."""
        selection = Selection(**keywords)
        request = events_request(GetDebugEventsRequest, selection, time.time_ns())
        return self.debug_event_stream(request)

    def debug_event_stream(
        self, request: GetDebugEventsRequest
    ) -> AsyncEventStream[GetDebugEventsResponse]:
        """Send a request that is ready; otherwise like `debug_events`."""
        return AsyncEventStream(self._observer.GetDebugEvents(request), self._target)

    async def status(self) -> ServerStatusResponse:
        """Ask for the server's counters; see `Client.status`."""
        with translated(self._target):
            return await self._observer.ServerStatus(
                ServerStatusRequest(), timeout=self._request_timeout_s
            )

    async def health(self) -> Health | None:
        """Ask whether the server serves; see `Client.health`."""
        check = cast("Callable[..., Awaitable[bytes]]", self._channel.unary_unary(HEALTH_METHOD))
        try:
            with translated(self._target):
                answer = await check(encode_health_request(), timeout=self._request_timeout_s)
        except Unsupported:
            return None
        except InvalidRequest:  # NOT_FOUND: the check is there and knows no observer
            return Health.SERVICE_UNKNOWN
        return decode_health_response(answer)

    async def close(self) -> None:
        """Close the connection; streams still open end. May be called again."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
