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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.json_format import ParseDict

from palomar.health import HEALTH_METHOD, Health
from palomar.scripted_batches import ScriptedBatches
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetDebugEventsRequest,
    GetDebugEventsResponse,
    GetFlowsRequest,
    GetFlowsResponse,
    ServerStatusRequest,
    ServerStatusResponse,
)
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch

_CALLS_MAX = 8

_RequestT = TypeVar("_RequestT")
_ResponseT = TypeVar("_ResponseT")

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

    Methods without a script are unimplemented.

    Args:
        responses: What each GetFlows or GetFlowBatches call sends, in this order, whatever it asked
            for; a batch that resumes has the rest. Notices of HUBBLE_RING_BUFFER have no position,
            and are told in front of their batch.
        agent_events: What each GetAgentEvents call sends likewise.
        debug_events: What each GetDebugEvents call sends likewise.
        hold: Whether a stream then stays open until the client leaves, as when following.
        error: Status that every call ends with, after its responses: code and details.
        status: Answer of ServerStatus.
        health: Answer of the health check; `None` leaves the check unimplemented.
        loopback: Whether to listen on 127.0.0.1 instead of a unix socket.
        batched: Whether there is FlowBatches, as of palomard, or only Hubble's services.

    Attributes:
        target: Where it listens, for `Client` or `--server`.
        requests: GetFlows and GetFlowBatches requests so far.
        calls: Names of the methods they were sent to.
        event_requests: GetAgentEvents and GetDebugEvents requests so far.
        cancelled: Set when a client has left a call that is held.
    """

    def __init__(
        self,
        responses: Sequence[GetFlowsResponse] = (),
        *,
        agent_events: Sequence[GetAgentEventsResponse] = (),
        debug_events: Sequence[GetDebugEventsResponse] = (),
        hold: bool = False,
        error: tuple[grpc.StatusCode, str] | None = None,
        status: ServerStatusResponse | None = None,
        health: Health | None = Health.SERVING,
        loopback: bool = False,
        batched: bool = True,
    ) -> None:
        self.target = ""
        self.requests: list[GetFlowsRequest] = []
        self.calls: list[str] = []
        self.event_requests: list[GetAgentEventsRequest | GetDebugEventsRequest] = []
        self.cancelled = threading.Event()
        self._responses = responses
        self._agent_events = agent_events
        self._debug_events = debug_events
        self._hold = hold
        self._error = error
        self._status = status or ServerStatusResponse()
        self._health = health
        self._loopback = loopback
        self._batched = batched
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: grpc.Server | None = None

    def _stream(
        self, responses: Sequence[_ResponseT], context: grpc.ServicerContext
    ) -> Iterator[_ResponseT]:
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
        self._fail_if_told(context)
        if self._hold:
            left.wait()

    def _server_status(
        self, request: ServerStatusRequest, context: grpc.ServicerContext
    ) -> ServerStatusResponse:
        del request  # it has no fields
        self._fail_if_told(context)
        return self._status

    def __enter__(self) -> Self:
        server = grpc.server(
            ThreadPoolExecutor(_CALLS_MAX, thread_name_prefix="fake-observer"),
            options=(("grpc.so_reuseport", 0),),
        )
        server.add_generic_rpc_handlers((self._observer_handler(),))
        if self._batched:
            server.add_generic_rpc_handlers((self._batches_handler(),))
        if self._health is not None:
            server.add_generic_rpc_handlers((_health_handler(self._health),))
        if self._loopback:
            self.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
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

    def _get_flows(
        self, request: GetFlowsRequest, context: grpc.ServicerContext
    ) -> Iterator[GetFlowsResponse]:
        self.calls.append("GetFlows")
        self.requests.append(request)
        return self._stream(self._responses, context)

    def _get_flow_batches(
        self, request: GetFlowsRequest, context: grpc.ServicerContext
    ) -> Iterator[FlowBatch]:
        self.calls.append("GetFlowBatches")
        self.requests.append(request)
        script = ScriptedBatches(self._responses)
        return self._stream(script.answer(request, ended=self._error is None), context)

    def _batches_handler(self) -> grpc.GenericRpcHandler:
        method = grpc.unary_stream_rpc_method_handler(
            self._get_flow_batches, GetFlowsRequest.FromString, FlowBatch.SerializeToString
        )
        return grpc.method_handlers_generic_handler(
            "palomar.v1.FlowBatches", {"GetFlowBatches": method}
        )

    def _observer_handler(self) -> grpc.GenericRpcHandler:
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "GetFlows": grpc.unary_stream_rpc_method_handler(
                self._get_flows,
                GetFlowsRequest.FromString,
                GetFlowsResponse.SerializeToString,
            ),
            "GetAgentEvents": grpc.unary_stream_rpc_method_handler(
                self._serve(self.event_requests, self._agent_events),
                GetAgentEventsRequest.FromString,
                GetAgentEventsResponse.SerializeToString,
            ),
            "GetDebugEvents": grpc.unary_stream_rpc_method_handler(
                self._serve(self.event_requests, self._debug_events),
                GetDebugEventsRequest.FromString,
                GetDebugEventsResponse.SerializeToString,
            ),
            "ServerStatus": grpc.unary_unary_rpc_method_handler(
                self._server_status,
                ServerStatusRequest.FromString,
                ServerStatusResponse.SerializeToString,
            ),
        }
        return grpc.method_handlers_generic_handler("observer.Observer", methods)

    def _serve(
        self, requests: list[_RequestT], responses: Sequence[_ResponseT]
    ) -> Callable[[_RequestT, grpc.ServicerContext], Iterator[_ResponseT]]:
        """Make a handler that remembers the request and sends the script."""

        def serve(request: _RequestT, context: grpc.ServicerContext) -> Iterator[_ResponseT]:
            requests.append(request)
            return self._stream(responses, context)

        return serve

    def _fail_if_told(self, context: grpc.ServicerContext) -> None:
        if self._error is not None:
            context.abort(*self._error)


def _health_handler(health: Health) -> grpc.GenericRpcHandler:
    service, method = HEALTH_METHOD.removeprefix("/").split("/")
    answer = bytes((0x08, health))  # field 1, varint

    def check(request: bytes, context: Any) -> bytes:
        del request, context
        return answer

    return grpc.method_handlers_generic_handler(
        service, {method: grpc.unary_unary_rpc_method_handler(check)}
    )
