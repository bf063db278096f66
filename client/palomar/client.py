"""The synchronous client.

    with Client() as client:
        for flow in client.observe(pod="web", verdict="dropped", last=20):
            print(flow.source.pod_name, "->", flow.destination.pod_name)

Calls are described in `operations`, their streams read by `streams`, errors translated by `rpc`;
`AsyncClient` uses the same. Here they are only run.
"""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Self, Unpack, cast

import grpc

from palomar import operations, rpc
from palomar.channel import open_channel
from palomar.errors import PalomarError
from palomar.event_recovery import EventResponseT
from palomar.filters import Filter
from palomar.flow_calls import FlowCalls
from palomar.flow_streams import FlowStream, OnGap, OnLost, OnNodeStatus, OnReconnect, SyncFlowCalls
from palomar.noted_calls import MetadataCall, NotedCall, note_failure
from palomar.operations import AnswerT, Operation
from palomar.reconnection import RECONNECT, Reconnect
from palomar.recording_calls import RecordingCalls
from palomar.reopening import batch_reopening, event_reopening
from palomar.requests import Batching, EventKeywords, EventRequestT, ObserveKeywords
from palomar.server_version import ServerVersion, ServerVersions
from palomar.streams import BatchStream, EventStream
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


class Client(RecordingCalls):
    """A connection to one server: palomard, a Hubble server, or a relay.

    Making one does not connect yet; the first call does. Thread-safe. Use it in a `with` block, or
    close it.

    Args:
        server: `unix:PATH`, `unix:///PATH`, `HOST:PORT` or `tls://HOST:PORT`. By default
            `$PALOMAR_SERVER`, else `unix:/run/palomar/palomar.sock`.
        tls: How to make sure of the server; also makes `HOST:PORT` mean TLS.
        auth: What to show the server so that it lets us in; over a network only with TLS.
        connect_timeout_s: How long to wait for a connection.
        request_timeout_s: How long a call may take that has one answer. Streams may take forever.
        reconnect: How to go on after the connection of a stream was lost; `None`: not at all.
            Streams that follow go on where they were, as far as the server can; look-backs only
            with palomard. Who cannot reach the server to begin with is told at once.
        batches: Whether to read flows in batches where the server has them, which is several times
            as fast. If not, they are asked for by Hubble's GetFlows alone, unless a call needs
            batches by itself: `flow_batches`, and `resume`.

    Raises:
        InvalidRequest: The server's text cannot be read, a file of `tls` cannot be used, or a
            secret would be sent in plain text.
        ServerUnavailable: With `Tls.allow_insecure`, nobody showed a certificate.
    """

    def __init__(
        self,
        server: str | None = None,
        *,
        tls: "Tls | None" = None,
        auth: "Auth | None" = None,
        connect_timeout_s: float = rpc.CONNECT_TIMEOUT_S,
        request_timeout_s: float = rpc.REQUEST_TIMEOUT_S,
        reconnect: Reconnect | None = RECONNECT,
        batches: bool = True,
    ) -> None:
        self._target = parse_target(server, tls)
        self._timeout_s = rpc.call_timeout_s(request_timeout_s)
        self._closed = False
        self._auth = auth
        self._reconnect = reconnect
        self._channel = open_channel(self._target, self._target.tls, auth, connect_timeout_s)
        self._versions = ServerVersions()
        self._flow_calls: SyncFlowCalls = FlowCalls(
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
    ) -> FlowStream:
        """Read flows.

        Args:
            *filters: A flow must match one of them. Instead, the keywords of `Filter` may be given.
            exclude: A flow that matches one of these is left out.
            on_lost: Called with each notice of lost events, which has no flow of its own;
                `FlowStream.lost_events` counts them in any case.
            on_node_status: Called when a relay says that nodes came, went or failed.
            on_gap: Called with each interruption that the stream has gone on after, which tells
                whether flows may be missing: see `palomar.Gap`.
            on_reconnect: Called when the connection is lost, and after each attempt that failed,
                with a `palomar.Outage`.
            resume: The `FlowStream.resume_token` of an earlier stream with the same filters: go on
                behind the last flow that was read there, without gap or repetition.
            **keywords: What flows (`pod`, `verdict`, …: see `FilterKeywords`) and how many of them
                (`last`, `since`, `follow`, …: see `SelectionKeywords`; by default the last 20).

        Returns:
            An iterable of flows. Errors of the server are raised while iterating.

        Raises:
            InvalidRequest: A filter or time means nothing.
        """
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
    ) -> FlowStream:
        """Send a request that is ready; otherwise like `observe`."""
        return FlowStream(
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
        now_ns = time.time_ns()
        request = operations.flows_request(filters, exclude, resume, batching, now_ns, **keywords)
        batches = self._flow_calls.batches
        reopening = batch_reopening(batches, request, self._target, self._reconnect)
        return self._flow_calls.keep(BatchStream(reopening.open(), self._target, reopening))

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
        request = operations.agent_events_request(time.time_ns(), **keywords)
        return self.agent_event_stream(request)

    def agent_event_stream(
        self, request: GetAgentEventsRequest
    ) -> EventStream[GetAgentEventsResponse]:
        """Send a request that is ready; otherwise like `agent_events`."""
        return self._event_stream(operations.agent_events, request)

    def debug_events(
        self, **keywords: Unpack[EventKeywords]
    ) -> EventStream[GetDebugEventsResponse]:
        """Read debug messages of the BPF programs, otherwise like `agent_events`.

        Returns:
            An iterable of responses, each a `debug_event` with its `time` and `node_name`.
        """
        request = operations.debug_events_request(time.time_ns(), **keywords)
        return self.debug_event_stream(request)

    def debug_event_stream(
        self, request: GetDebugEventsRequest
    ) -> EventStream[GetDebugEventsResponse]:
        """Send a request that is ready; otherwise like `debug_events`."""
        return self._event_stream(operations.debug_events, request)

    def watch_peers(self) -> "EventStream[ChangeNotification]":
        """Watch the list of nodes that serve flows.

        Returns:
            An endless iterable of `palomar_proto.peer.peer_pb2.ChangeNotification`: first each node
            of the list as added, then what changes. Errors are raised while iterating.
        """
        return EventStream(self._open(operations.peers()), self._target)

    def status(self) -> ServerStatusResponse:
        """Ask for the server's counters.

        Raises:
            PalomarError: See `palomar.errors`; so for all methods below.
        """
        return self._ask(operations.status())

    def health(self) -> "Health | None":
        """Ask whether the server serves; `None` if it does not offer the health check."""
        return self._ask(operations.health())

    def nodes(self) -> GetNodesResponse:
        """Ask a relay for its nodes, and how it stands with each.

        Raises:
            Unsupported: The server is no relay.
        """
        return self._ask(operations.nodes())

    def namespaces(self) -> GetNamespacesResponse:
        """Ask for the namespaces that flows of the last hour were in."""
        return self._ask(operations.namespaces())

    def hints(
        self,
        field: "str | FlowField.ValueType",
        search: str = "",
        **keywords: "Unpack[HintsKeywords]",
    ) -> "FilterHintsResponse":
        """Ask which values a field has in the flows that the server holds, to choose a filter from.

        Args:
            field: Its name, such as `pod`, `label` or `drop-reason`: see
                `palomar_proto/palomar/v1/flow_field.proto`.
            search: Only values with this at their begin, or behind one of their `/`, `:`, `=`.
            **keywords: How many, and of which flows: see `palomar.queries.HintsKeywords`; by
                default of all.

        Returns:
            The values, those with the most flows first; where none was found, similar ones.

        Raises:
            InvalidRequest: A name or value means nothing.
            Unsupported: The server is not palomard.
        """
        return self._ask(operations.hints(field, search, time.time_ns(), **keywords))

    def summarize(
        self, *group_by: "str | Grouping", **keywords: "Unpack[SummaryKeywords]"
    ) -> "SummarizeResponse":
        """Count the flows that the server holds: how many, by what, and when.

        Args:
            *group_by: Up to four fields, such as `from-pod`, `to-label:app` or `drop-reason`; those
                of an end without `from-` or `to-` count as two. Without any there is one group.
            **keywords: What to give, and of which flows: see `palomar.queries.SummaryKeywords`; by
                default of all.

        Raises:
            InvalidRequest: A name or value means nothing.
            Unsupported: The server is not palomard.
        """
        return self._ask(operations.summarize(group_by, time.time_ns(), **keywords))

    def explain(
        self, about: Flow | str | int | None = None, **keywords: "Unpack[ExplainKeywords]"
    ) -> "ExplainResponse":
        """Ask why a packet was dropped, or a connection is stuck, and what to check next.

        Args:
            about: A flow, its uuid, or its position in the ring; by default the last dropped flow
                that passes the filters.
            **keywords: Filters for the last flow, and the time to look at: see
                `palomar.queries.ExplainKeywords`.

        Raises:
            InvalidRequest: A value means nothing, or the server has no such flow any more.
            Unsupported: The server is not palomard.
        """
        return self._ask(operations.explain(about, time.time_ns(), **keywords))

    def _ask(self, operation: Operation[AnswerT]) -> AnswerT:
        """Run a call that has one answer."""
        method: grpc.UnaryUnaryMultiCallable[bytes, AnswerT] = self._channel.unary_unary(
            operation.method, None, operation.read
        )
        metadata = self._metadata()
        try:
            with rpc.translated(self._target, instead=operation.instead):
                try:
                    timeout_s = None if operation.patient else self._timeout_s
                    answer, call = method.with_call(
                        operation.request, timeout=timeout_s, metadata=metadata
                    )
                except grpc.RpcError as error:
                    note_failure(error, self._versions)
                    raise
        except PalomarError as error:
            return operation.settle(error)
        self._versions.note(call.initial_metadata())
        return answer

    def _metadata(self) -> "Metadata":
        """What goes with the next call; a token in a file may have been replaced."""
        rpc.check_open(closed=self._closed)
        return self._auth.metadata if self._auth else ()

    def _event_stream(
        self, ask: Callable[[EventRequestT], Operation[EventResponseT]], request: EventRequestT
    ) -> EventStream[EventResponseT]:
        reopening = event_reopening(
            lambda again: self._open(ask(again)), request, self._target, self._reconnect
        )
        return self._flow_calls.keep(EventStream(reopening.open(), self._target, reopening))

    def _open(self, operation: Operation[AnswerT]) -> NotedCall[AnswerT]:
        """Run a call that has a stream of answers."""
        method: grpc.UnaryStreamMultiCallable[bytes, AnswerT] = self._channel.unary_stream(
            operation.method, None, operation.read
        )
        call = cast("MetadataCall[AnswerT]", method(operation.request, metadata=self._metadata()))
        return NotedCall(call, self._versions, self._target, operation.instead)

    def close(self) -> None:
        """Close the connection; streams still open end. May be called again."""
        self._closed = True
        self._flow_calls.close()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
