"""What tests of clients need: a server that answers as told, and flows to answer with.

`FakeObserver` is a real gRPC server on a unix socket or on loopback that remembers what it was
asked. The project tests itself with it, and so may programs that use `palomar.Client`:

    answers = [make_response(verdict="DROPPED")]
    with FakeObserver(answers) as server, Client(server.target) as client:
        assert len(list(client.observe(pod="web"))) == 1
        assert server.requests[0].whitelist
"""

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from palomar.fake_recordings import SERVICE as _RECORDINGS
from palomar.fake_recordings import FakeRecordings
from palomar.health import HEALTH_METHOD, Health
from palomar.scripted_batches import ScriptedBatches
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetDebugEventsRequest,
    GetDebugEventsResponse,
    GetFlowsRequest,
    GetFlowsResponse,
    GetNamespacesRequest,
    GetNamespacesResponse,
    GetNodesRequest,
    GetNodesResponse,
    ServerStatusRequest,
    ServerStatusResponse,
)
from palomar_proto.palomar.v1.explanation_pb2 import ExplainRequest, ExplainResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch
from palomar_proto.palomar.v1.hints_pb2 import FilterHintsRequest, FilterHintsResponse
from palomar_proto.palomar.v1.summary_pb2 import SummarizeRequest, SummarizeResponse
from palomar_proto.peer.peer_pb2 import ChangeNotification, NotifyRequest

_CALLS_MAX = 8
_OBSERVER = "observer.Observer"
_QUERIES = "palomar.v1.Queries"

_RequestT = TypeVar("_RequestT", bound=Message)
_ResponseT = TypeVar("_ResponseT", bound=Message)
_Script: TypeAlias = _ResponseT | Callable[[_RequestT], _ResponseT] | None

Status = tuple[grpc.StatusCode, str]
"""Code and details that a call ends with."""

_FLOW: dict[str, Any] = {
    "time": "2024-03-05T10:20:30.123456789Z",
    "verdict": "FORWARDED",
    "IP": {"source": "10.0.0.10", "destination": "10.0.0.11", "ipVersion": "IPv4"},
    "l4": {"TCP": {"source_port": 4000, "destination_port": 80, "flags": {"SYN": True}}},
    "source": {"identity": 20001, "namespace": "default", "pod_name": "web-0"},
    "destination": {"identity": 2},
    "node_name": "default/node-1",
    "event_type": {"type": 4, "sub_type": 3},
    "Summary": "TCP Flags: SYN",
}


def make_response(**changes: Any) -> GetFlowsResponse:
    """Make a response that holds a plain TCP flow from a pod to the world.

    Args:
        **changes: Fields of the flow to set otherwise, as in its JSON form; `None` leaves one out.
    """
    flow = {name: value for name, value in (_FLOW | changes).items() if value is not None}
    answer: dict[str, Any] = {name: flow[name] for name in ("time", "node_name") if name in flow}
    return ParseDict(answer | {"flow": flow}, GetFlowsResponse())


class FakeObserver:
    """Serves scripted answers; use it in a `with` block.

    Methods without a script are unimplemented. Scripts of methods with one answer may be functions
    of the request.

    Args:
        responses: What each GetFlows or GetFlowBatches call sends, in this order, whatever it asked
            for; a batch that resumes has the rest. Notices of HUBBLE_RING_BUFFER have no position,
            and are told in front of their batch.
        agent_events: What each GetAgentEvents call sends likewise.
        debug_events: What each GetDebugEvents call sends likewise.
        peers: What each Notify call sends likewise.
        hold: Whether a stream then stays open until the client leaves, as when following.
        error: Status that every call ends with, after its responses.
        errors: The same by method, such as `GetFlows`.
        status: Answer of ServerStatus.
        nodes: Answer of GetNodes.
        namespaces: Answer of GetNamespaces.
        hints: Answer of FilterHints.
        summary: Answer of Summarize.
        explanation: Answer of Explain.
        recordings: The recorder; without one there is none.
        health: Answer of the health check; `None` leaves the check unimplemented.
        headers: Metadata in front of every answer but the health check's, such as
            `hubble-server-version`.
        loopback: Whether to listen on 127.0.0.1 instead of a unix socket.
        credentials: With which to serve TLS, then on loopback in any case.
        batched: Whether there is FlowBatches, as of palomard, or only Hubble's services.

    Attributes:
        target: Where it listens, for `Client` or `--server`.
        requests: GetFlows and GetFlowBatches requests so far.
        calls: Names of the methods they were sent to.
        event_requests: GetAgentEvents and GetDebugEvents requests so far.
        other_requests: All other requests so far, but those of the health check.
        metadata: What came with every request but those of the health check.
        cancelled: Set when a client has left a call that is held.
    """

    def __init__(
        self,
        responses: Sequence[GetFlowsResponse] = (),
        *,
        agent_events: Sequence[GetAgentEventsResponse] = (),
        debug_events: Sequence[GetDebugEventsResponse] = (),
        peers: Sequence[ChangeNotification] | None = None,
        hold: bool = False,
        error: Status | None = None,
        errors: Mapping[str, Status] | None = None,
        status: ServerStatusResponse | None = None,
        nodes: _Script[GetNodesResponse, GetNodesRequest] = None,
        namespaces: _Script[GetNamespacesResponse, GetNamespacesRequest] = None,
        hints: _Script[FilterHintsResponse, FilterHintsRequest] = None,
        summary: _Script[SummarizeResponse, SummarizeRequest] = None,
        explanation: _Script[ExplainResponse, ExplainRequest] = None,
        recordings: FakeRecordings | None = None,
        health: Health | None = Health.SERVING,
        headers: Mapping[str, str] | None = None,
        loopback: bool = False,
        credentials: grpc.ServerCredentials | None = None,
        batched: bool = True,
    ) -> None:
        self.target = ""
        self.requests: list[GetFlowsRequest] = []
        self.calls: list[str] = []
        self.event_requests: list[GetAgentEventsRequest | GetDebugEventsRequest] = []
        self.other_requests: list[Message] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.cancelled = threading.Event()
        self._responses = responses
        self._hold = hold
        self._ends_with = (error, dict(errors or {}))
        self._health = health
        self._headers = tuple((headers or {}).items())
        self._loopback = loopback or credentials is not None
        self._credentials = credentials
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: grpc.Server | None = None
        self._methods: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        self._add_streams(agent_events, debug_events, peers, batched=batched)
        self._add(_OBSERVER, "ServerStatus", ServerStatusRequest, status or ServerStatusResponse())
        self._add(_OBSERVER, "GetNodes", GetNodesRequest, nodes)
        self._add(_OBSERVER, "GetNamespaces", GetNamespacesRequest, namespaces)
        self._add(_QUERIES, "FilterHints", FilterHintsRequest, hints)
        self._add(_QUERIES, "Summarize", SummarizeRequest, summary)
        self._add(_QUERIES, "Explain", ExplainRequest, explanation)
        if recordings is not None:
            self._methods[_RECORDINGS] = dict(recordings.methods(self._admit))

    def __enter__(self) -> Self:
        server = grpc.server(
            ThreadPoolExecutor(_CALLS_MAX, thread_name_prefix="fake-observer"),
            options=(("grpc.so_reuseport", 0),),
        )
        for service, methods in self._methods.items():
            handler = grpc.method_handlers_generic_handler(service, methods)
            server.add_generic_rpc_handlers((handler,))
        if self._health is not None:
            server.add_generic_rpc_handlers((_health_handler(self._health),))
        if self._loopback:
            self.target = f"127.0.0.1:{self._listen_on_loopback(server)}"
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="palomar-")
            self.target = f"unix:{self._folder.name}/observer.sock"
            server.add_insecure_port(self.target)
        server.start()
        self._server = server
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.stop(grace=None).wait()
        if self._folder is not None:
            self._folder.cleanup()

    def _listen_on_loopback(self, server: grpc.Server) -> int:
        if self._credentials is None:
            return server.add_insecure_port("127.0.0.1:0")
        return server.add_secure_port("127.0.0.1:0", self._credentials)

    def _add_streams(
        self,
        agent_events: Sequence[GetAgentEventsResponse],
        debug_events: Sequence[GetDebugEventsResponse],
        peers: Sequence[ChangeNotification] | None,
        *,
        batched: bool,
    ) -> None:
        flows: list[Any] = self.requests
        events: list[Any] = self.event_requests
        self._add_stream(
            _OBSERVER, "GetFlows", GetFlowsRequest, lambda _: self._responses, seen=flows
        )
        if batched:
            self._add_stream(
                "palomar.v1.FlowBatches",
                "GetFlowBatches",
                GetFlowsRequest,
                self._batches,
                seen=flows,
            )
        self._add_stream(
            _OBSERVER, "GetAgentEvents", GetAgentEventsRequest, lambda _: agent_events, seen=events
        )
        self._add_stream(
            _OBSERVER, "GetDebugEvents", GetDebugEventsRequest, lambda _: debug_events, seen=events
        )
        if peers is not None:
            others = self.other_requests
            self._add_stream("peer.Peer", "Notify", NotifyRequest, lambda _: peers, seen=others)

    def _batches(self, request: GetFlowsRequest) -> Sequence[FlowBatch]:
        ended = self._status_of("GetFlowBatches") is None
        return ScriptedBatches(self._responses).answer(request, ended=ended)

    def _add_stream(
        self,
        service: str,
        method: str,
        kind: type[_RequestT],
        script: Callable[[_RequestT], Sequence[Message]],
        *,
        seen: list[Any],
    ) -> None:
        """Serve a method with a stream of answers."""

        def serve(request: _RequestT, context: grpc.ServicerContext) -> Iterator[Message]:
            if seen is self.requests:
                self.calls.append(method)
            seen.append(request)
            self._greet(context)
            return self._stream(method, script(request), context)

        self._methods.setdefault(service, {})[method] = grpc.unary_stream_rpc_method_handler(
            serve, kind.FromString, _serialized
        )

    def _add(
        self,
        service: str,
        method: str,
        kind: type[_RequestT],
        script: _Script[_ResponseT, _RequestT],
    ) -> None:
        """Serve a method with one answer."""
        if script is None and self._status_of(method) is None:
            return

        def serve(request: _RequestT, context: grpc.ServicerContext) -> Message:
            self.other_requests.append(request)
            self._greet(context)
            self._fail_if_told(method, context)
            answer = script(request) if callable(script) else script
            return cast("Message", answer)

        self._methods.setdefault(service, {})[method] = grpc.unary_unary_rpc_method_handler(
            serve, kind.FromString, _serialized
        )

    def _stream(
        self, method: str, responses: Sequence[Message], context: grpc.ServicerContext
    ) -> Iterator[Message]:
        left = threading.Event()
        if self._hold:

            def note_leaving() -> None:
                left.set()
                self.cancelled.set()

            # Before the first answer: a client that left is sent no more, so that what follows a
            # yield may never run.
            if not context.add_callback(note_leaving):
                note_leaving()
        yield from responses
        self._fail_if_told(method, context)
        if self._hold:
            left.wait()

    def _admit(self, method: str, request: Message, context: grpc.ServicerContext) -> None:
        self.other_requests.append(request)
        self._greet(context)
        self._fail_if_told(method, context)

    def _greet(self, context: grpc.ServicerContext) -> None:
        self.metadata.append(dict(context.invocation_metadata()))
        if self._headers:
            context.send_initial_metadata(self._headers)

    def _status_of(self, method: str) -> Status | None:
        for_all, by_method = self._ends_with
        return by_method.get(method, for_all)

    def _fail_if_told(self, method: str, context: grpc.ServicerContext) -> None:
        status = self._status_of(method)
        if status is not None:
            context.abort(*status)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


def _health_handler(health: Health) -> grpc.GenericRpcHandler:
    service, method = HEALTH_METHOD.removeprefix("/").split("/")
    answer = bytes((0x08, health))  # field 1, varint

    def check(request: bytes, context: Any) -> bytes:
        del request, context
        return answer

    return grpc.method_handlers_generic_handler(
        service, {method: grpc.unary_unary_rpc_method_handler(check)}
    )
