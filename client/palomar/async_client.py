"""The client for asyncio: `Client` with `await`, `async for` and `async with`.

    async with AsyncClient() as client:
        async for flow in client.observe(pod="web", follow=True):
            ...

Everything but running the calls is shared with `Client`, where the arguments are explained.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack, cast

import grpc.aio

from palomar import operations
from palomar.async_recording_calls import AsyncRecordingCalls
from palomar.channel import open_aio_channel
from palomar.errors import PalomarError, from_status
from palomar.event_recovery import EventResponseT
from palomar.filters import Filter
from palomar.flow_calls import FlowCalls
from palomar.flow_streams import (
    AsyncFlowCalls,
    AsyncFlowStream,
    OnGap,
    OnLost,
    OnNodeStatus,
    OnReconnect,
)
from palomar.noted_calls import AsyncMetadataCall, AsyncNotedCall, note_failure
from palomar.operations import Operation
from palomar.reconnection import RECONNECT, Reconnect
from palomar.reopening import batch_reopening, event_reopening
from palomar.requests import Batching, EventKeywords, EventRequestT, ObserveKeywords
from palomar.rpc import (
    CONNECT_TIMEOUT_S,
    REQUEST_TIMEOUT_S,
    call_timeout_s,
    check_open,
    readable,
    translated,
)
from palomar.server_version import ServerVersion, ServerVersions
from palomar.streams import AsyncBatchStream, AsyncEventStream, cancelled_here
from palomar.target import parse_target
from palomar_proto.flow.flow_pb2 import Flow, FlowFilter
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetDebugEventsRequest,
    GetDebugEventsResponse,
    GetFlowsRequest,
    GetNamespacesResponse,
    GetNodesResponse,
    ServerStatusResponse,
)

if TYPE_CHECKING:
    from palomar.auth import Auth, Metadata
    from palomar.health import Health
    from palomar.queries import ExplainKeywords, HintsKeywords, SummaryKeywords
    from palomar.tls import Tls
    from palomar_proto.palomar.v1.explanation_pb2 import ExplainResponse
    from palomar_proto.palomar.v1.flow_field_pb2 import FlowField
    from palomar_proto.palomar.v1.hints_pb2 import FilterHintsResponse
    from palomar_proto.palomar.v1.summary_pb2 import Grouping, SummarizeResponse
    from palomar_proto.peer.peer_pb2 import ChangeNotification

AnswerT = TypeVar("AnswerT")


class AsyncClient(AsyncRecordingCalls):
    """A connection to one server; make and use it in one event loop. See `Client`.

    Raises:
        RuntimeError: It is made where no event loop runs.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        tls: "Tls | None" = None,
        auth: "Auth | None" = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        reconnect: Reconnect | None = RECONNECT,
        batches: bool = True,
    ) -> None:
        self._target = parse_target(server, tls)
        self._timeout_s = call_timeout_s(request_timeout_s)
        self._closed = False
        self._auth = auth
        self._reconnect = reconnect
        _need_loop()
        self._channel = open_aio_channel(self._target, self._target.tls, auth, connect_timeout_s)
        self._versions = ServerVersions()
        self._flow_calls: AsyncFlowCalls = FlowCalls(
            lambda request: self._open(operations.flow_batches(request)),
            lambda request: self._open(operations.flows(request)),
            batched=None if batches else False,
        )

    @property
    def server(self) -> str:
        """The server as it was given."""
        return self._target.text

    @property
    def server_version(self) -> ServerVersion | None:
        """What the last answer said about the server's version; `None` before, or without."""
        return self._versions.last

    def observe(
        self,
        *filters: Filter | FlowFilter,
        exclude: Iterable[Filter | FlowFilter] = (),
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
        on_gap: OnGap | None = None,
        on_reconnect: OnReconnect | None = None,
        resume: bytes = b"",
        **keywords: Unpack[ObserveKeywords],
    ) -> AsyncFlowStream:
        """Read flows; see `Client.observe`. Not a coroutine: iterate over what it returns."""
        now_ns = time.time_ns()
        request = operations.flows_request(filters, exclude, resume, None, now_ns, **keywords)
        return self.stream(
            request,
            on_lost=on_lost,
            on_node_status=on_node_status,
            on_gap=on_gap,
            on_reconnect=on_reconnect,
        )

    def stream(
        self,
        request: GetFlowsRequest,
        *,
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
        on_gap: OnGap | None = None,
        on_reconnect: OnReconnect | None = None,
    ) -> AsyncFlowStream:
        """Send a request that is ready; otherwise like `observe`."""
        return AsyncFlowStream(
            self._flow_calls,
            request,
            self._target,
            on_lost,
            on_node_status,
            on_gap=on_gap,
            on_reconnect=on_reconnect,
            reconnect=self._reconnect,
        )

    def flow_batches(
        self,
        *filters: Filter | FlowFilter,
        exclude: Iterable[Filter | FlowFilter] = (),
        batching: Batching | None = None,
        resume: bytes = b"",
        **keywords: Unpack[ObserveKeywords],
    ) -> AsyncBatchStream:
        """Read flows as batches; see `Client.flow_batches`. Not a coroutine."""
        now_ns = time.time_ns()
        request = operations.flows_request(filters, exclude, resume, batching, now_ns, **keywords)
        batches = self._flow_calls.batches
        reopening = batch_reopening(batches, request, self._target, self._reconnect)
        return self._flow_calls.keep(AsyncBatchStream(reopening.open(), self._target, reopening))

    def agent_events(
        self, **keywords: Unpack[EventKeywords]
    ) -> AsyncEventStream[GetAgentEventsResponse]:
        """Read what the agent did; see `Client.agent_events`. Not a coroutine."""
        request = operations.agent_events_request(time.time_ns(), **keywords)
        return self.agent_event_stream(request)

    def agent_event_stream(
        self, request: GetAgentEventsRequest
    ) -> AsyncEventStream[GetAgentEventsResponse]:
        """Send a request that is ready; otherwise like `agent_events`."""
        return self._event_stream(operations.agent_events, request)

    def debug_events(
        self, **keywords: Unpack[EventKeywords]
    ) -> AsyncEventStream[GetDebugEventsResponse]:
        """Read debug messages; see `Client.debug_events`. Not a coroutine."""
        request = operations.debug_events_request(time.time_ns(), **keywords)
        return self.debug_event_stream(request)

    def debug_event_stream(
        self, request: GetDebugEventsRequest
    ) -> AsyncEventStream[GetDebugEventsResponse]:
        """Send a request that is ready; otherwise like `debug_events`."""
        return self._event_stream(operations.debug_events, request)

    def watch_peers(self) -> "AsyncEventStream[ChangeNotification]":
        """Watch the list of nodes; see `Client.watch_peers`. Not a coroutine."""
        return AsyncEventStream(self._open(operations.peers()), self._target)

    async def status(self) -> ServerStatusResponse:
        """Ask for the server's counters; see `Client.status`."""
        return await self._ask(operations.status())

    async def health(self) -> "Health | None":
        """Ask whether the server serves; see `Client.health`."""
        return await self._ask(operations.health())

    async def nodes(self) -> GetNodesResponse:
        """Ask a relay for its nodes; see `Client.nodes`."""
        return await self._ask(operations.nodes())

    async def namespaces(self) -> GetNamespacesResponse:
        """Ask for the namespaces of recent flows; see `Client.namespaces`."""
        return await self._ask(operations.namespaces())

    async def hints(
        self,
        field: "str | FlowField.ValueType",
        search: str = "",
        **keywords: "Unpack[HintsKeywords]",
    ) -> "FilterHintsResponse":
        """Ask which values a field has; see `Client.hints`."""
        return await self._ask(operations.hints(field, search, time.time_ns(), **keywords))

    async def summarize(
        self, *group_by: "str | Grouping", **keywords: "Unpack[SummaryKeywords]"
    ) -> "SummarizeResponse":
        """Count flows; see `Client.summarize`."""
        return await self._ask(operations.summarize(group_by, time.time_ns(), **keywords))

    async def explain(
        self, about: Flow | str | int | None = None, **keywords: "Unpack[ExplainKeywords]"
    ) -> "ExplainResponse":
        """Ask why a packet was dropped; see `Client.explain`."""
        return await self._ask(operations.explain(about, time.time_ns(), **keywords))

    async def _ask(self, operation: Operation[AnswerT]) -> AnswerT:
        """Run a call that has one answer."""
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, AnswerT] = self._channel.unary_unary(
            operation.method, None, operation.read
        )
        metadata = self._metadata()
        try:
            with translated(self._target, instead=operation.instead):
                try:
                    timeout_s = None if operation.patient else self._timeout_s
                    call = method(operation.request, timeout=timeout_s, metadata=metadata)
                    answer = readable(await call, self._target)
                except grpc.RpcError as error:
                    note_failure(error, self._versions)
                    raise
                except asyncio.CancelledError:
                    # Also where the client was closed meanwhile: then no task was cancelled.
                    if cancelled_here() or not self._closed:
                        raise
                    raise from_status("CANCELLED", "Channel closed!", self._target.text) from None
        except PalomarError as error:
            return operation.settle(error)
        self._versions.note(await call.initial_metadata())
        return answer

    def _metadata(self) -> "Metadata":
        """What goes with the next call; a token in a file may have been replaced."""
        check_open(closed=self._closed)
        return self._auth.metadata if self._auth else ()

    def _event_stream(
        self, ask: Callable[[EventRequestT], Operation[EventResponseT]], request: EventRequestT
    ) -> AsyncEventStream[EventResponseT]:
        reopening = event_reopening(
            lambda again: self._open(ask(again)), request, self._target, self._reconnect
        )
        return self._flow_calls.keep(AsyncEventStream(reopening.open(), self._target, reopening))

    def _open(self, operation: Operation[AnswerT]) -> AsyncNotedCall[AnswerT]:
        """Run a call that has a stream of answers."""
        method: grpc.aio.UnaryStreamMultiCallable[bytes, AnswerT] = self._channel.unary_stream(
            operation.method, None, operation.read
        )
        call = cast(
            "AsyncMetadataCall[AnswerT]", method(operation.request, metadata=self._metadata())
        )
        return AsyncNotedCall(call, self._versions, self._target, operation.instead)

    async def close(self) -> None:
        """Close the connection; streams still open end. May be called again."""
        self._closed = True
        self._flow_calls.close()
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


def _need_loop() -> None:
    """Refuse to make a channel that would belong to no event loop, or to another one than its user.

    Raises:
        RuntimeError: No event loop runs.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "an AsyncClient belongs to one event loop; make it in a coroutine that runs there"
        ) from None
