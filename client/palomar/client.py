"""The synchronous client.

    with Client() as client:
        for flow in client.observe(pod="web", verdict="dropped", last=20):
            print(flow.source.pod_name, "->", flow.destination.pod_name)

Requests are built by `requests`, answers read by `streams` and `health`, errors translated by
`rpc`; `AsyncClient` uses the same. Here are only the calls.
"""

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, Unpack, cast

import grpc

from palomar.errors import InvalidRequest, Unsupported
from palomar.filters import Filter
from palomar.flow_calls import FlowCalls
from palomar.flow_streams import FlowStream, OnLost, OnNodeStatus, SyncFlowCalls
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
from palomar.streams import BatchStream, EventStream
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


class Client:
    """A connection to one server: palomard, a Hubble server, or a relay.

    Making one does not connect yet; the first call does. Thread-safe. Use it in a `with` block, or
    close it.

    Args:
        server: `unix:PATH`, `unix:///PATH` or `HOST:PORT`. By default `$PALOMAR_SERVER`, else
            `unix:/run/palomar/palomar.sock`.
        connect_timeout_s: How long to wait for a connection.
        request_timeout_s: How long a call may take that has one answer. Streams may take forever.

    Raises:
        InvalidRequest: The server's text cannot be read.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self._target = parse_target(server)
        self._request_timeout_s = request_timeout_s
        self._channel = grpc.insecure_channel(
            self._target.address, channel_options(connect_timeout_s)
        )
        self._observer = ObserverStub(self._channel)
        self._flow_calls: SyncFlowCalls = FlowCalls(
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
    ) -> FlowStream:
        """Read flows.

        Args:
            *filters: A flow must match one of them. Instead, the keywords of `Filter` may be given.
            exclude: A flow that matches one of these is left out.
            on_lost: Called with each notice of lost events, which has no flow of its own;
                `FlowStream.lost_events` counts them in any case.
            on_node_status: Called when a relay says that nodes came, went or failed.
            resume: The `FlowStream.resume_token` of an earlier stream with the same filters: go on
                behind the last flow that was read there, without gap or repetition.
            **keywords: What flows (`pod`, `verdict`, …: see `FilterKeywords`) and how many of them
                (`last`, `since`, `follow`, …: see `SelectionKeywords`; by default the last 20).

        Returns:
            An iterable of flows. Errors of the server are raised while iterating.

        Raises:
            InvalidRequest: A filter or time means nothing.
        """
        request = keyword_request(filters, exclude, time.time_ns(), **keywords)
        add_batch_options(request, resume)
        return self.stream(request, on_lost=on_lost, on_node_status=on_node_status)

    def stream(
        self,
        request: GetFlowsRequest,
        *,
        on_lost: OnLost | None = None,
        on_node_status: OnNodeStatus | None = None,
    ) -> FlowStream:
        """Send a request that is ready; otherwise like `observe`."""
        return FlowStream(self._flow_calls, request, self._target, on_lost, on_node_status)

    def flow_batches(
        self,
        *filters: Filter | FlowFilter,
        exclude: Iterable[Filter | FlowFilter] = (),
        batching: Batching | None = None,
        resume: bytes = b"",
        **keywords: Unpack[ObserveKeywords],
    ) -> BatchStream:
        """Read flows as the batches they come in, each with positions and a resume token.

        For those who keep what they read: a batch and its token can be stored together. Only
        palomard serves batches; from others `observe` reads all the same.

        Args:
            *filters: As for `observe`.
            exclude: Likewise.
            batching: How large batches may be, and how late.
            resume: The `resume_token` of a batch, or of a `FlowStream`: go on behind it.
            **keywords: As for `observe`.

        Returns:
            An iterable of `palomar_proto.palomar.v1.flow_batches_pb2.FlowBatch`. Errors of the
            server are raised while iterating.

        Raises:
            InvalidRequest: A filter or time means nothing.
        """
        request = keyword_request(filters, exclude, time.time_ns(), **keywords)
        add_batch_options(request, resume, batching)
        return BatchStream(self._flow_calls.batches(request), self._target)

    def agent_events(
        self, **keywords: Unpack[EventKeywords]
    ) -> EventStream[GetAgentEventsResponse]:
        """Read what the node's agent did: endpoints that came and went, policies it took over.

        Args:
            **keywords: How many of them (`last`, `since`, `follow`, …: see `EventKeywords`; by
                default the last 20, also when following).

        Returns:
            An iterable of responses, each an `agent_event` with its `time` and `node_name`. Errors
            of the server are raised while iterating; a relay serves no such events.

        Raises:
            InvalidRequest: A time means nothing.
        """
        selection = Selection(**keywords)
        request = events_request(GetAgentEventsRequest, selection, time.time_ns())
        return self.agent_event_stream(request)

    def agent_event_stream(
        self, request: GetAgentEventsRequest
    ) -> EventStream[GetAgentEventsResponse]:
        """Send a request that is ready; otherwise like `agent_events`."""
        return EventStream(self._observer.GetAgentEvents(request), self._target)

    def debug_events(
        self, **keywords: Unpack[EventKeywords]
    ) -> EventStream[GetDebugEventsResponse]:
        """Read debug messages of the BPF programs, otherwise like `agent_events`.

        Returns:
            An iterable of responses, each a `debug_event` with its `time` and `node_name`.
        """
        selection = Selection(**keywords)
        request = events_request(GetDebugEventsRequest, selection, time.time_ns())
        return self.debug_event_stream(request)

    def debug_event_stream(
        self, request: GetDebugEventsRequest
    ) -> EventStream[GetDebugEventsResponse]:
        """Send a request that is ready; otherwise like `debug_events`."""
        return EventStream(self._observer.GetDebugEvents(request), self._target)

    def status(self) -> ServerStatusResponse:
        """Ask for the server's counters.

        Raises:
            PalomarError: See `palomar.errors`.
        """
        with translated(self._target):
            return self._observer.ServerStatus(
                ServerStatusRequest(), timeout=self._request_timeout_s
            )

    def health(self) -> Health | None:
        """Ask whether the server serves; `None` if it does not offer the health check.

        Raises:
            PalomarError: See `palomar.errors`.
        """
        check = cast("Callable[..., bytes]", self._channel.unary_unary(HEALTH_METHOD))
        try:
            with translated(self._target):
                answer = check(encode_health_request(), timeout=self._request_timeout_s)
        except Unsupported:
            return None
        except InvalidRequest:  # NOT_FOUND: the check is there and knows no observer
            return Health.SERVICE_UNKNOWN
        return decode_health_response(answer)

    def close(self) -> None:
        """Close the connection; streams still open end. May be called again."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
