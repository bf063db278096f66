"""Every call of the API, through both clients and a real server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import palomar
from palomar import operations
from palomar.fake_recordings import FakeRecordings
from palomar.testing import FakeObserver, make_response
from palomar_proto.flow.flow_pb2 import Flow
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
    Namespace,
    Node,
    ServerStatusRequest,
    ServerStatusResponse,
)
from palomar_proto.palomar.v1.explanation_pb2 import ExplainRequest, ExplainResponse
from palomar_proto.palomar.v1.flow_field_pb2 import FLOW_FIELD_POD
from palomar_proto.palomar.v1.flow_scope_pb2 import FlowScope
from palomar_proto.palomar.v1.hints_pb2 import FilterHintsRequest, FilterHintsResponse, Hint
from palomar_proto.palomar.v1.summary_pb2 import SummarizeRequest, SummarizeResponse
from palomar_proto.peer.peer_pb2 import ChangeNotification, NotifyRequest

NODES = GetNodesResponse(nodes=[Node(name="a/n")])
NAMESPACES = GetNamespacesResponse(namespaces=[Namespace(namespace="shop")])
HINTS = FilterHintsResponse(hints=[Hint(value="shop/web")])
SUMMARY = SummarizeResponse(other_groups=2)
EXPLANATION = ExplainResponse(headline="why")
PEER = ChangeNotification(name="n")
STATUS = ServerStatusResponse(num_flows=3)
AGENT = GetAgentEventsResponse(node_name="a")
DEBUG = GetDebugEventsResponse(node_name="d")

POD_HINTS = FilterHintsRequest(field=FLOW_FIELD_POD, search="w", scope=FlowScope())

CALLS: list[tuple[str, tuple[object, ...], str, object, object]] = [
    ("status", (), "status", STATUS, ServerStatusRequest()),
    ("nodes", (), "nodes", NODES, GetNodesRequest()),
    ("namespaces", (), "namespaces", NAMESPACES, GetNamespacesRequest()),
    ("hints", ("pod", "w"), "hints", HINTS, POD_HINTS),
    ("summarize", (), "summary", SUMMARY, SummarizeRequest(scope=FlowScope())),
    ("explain", ("uuid",), "explanation", EXPLANATION, ExplainRequest(uuid="uuid")),
    ("watch_peers", (), "peers", [PEER], NotifyRequest()),
    ("agent_event_stream", (GetAgentEventsRequest(number=1),), "agent_events", [AGENT], None),
    ("debug_event_stream", (GetDebugEventsRequest(number=1),), "debug_events", [DEBUG], None),
]


class Caller:
    """Calls a method of one of the clients, and waits for all of its answer."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(
        self, server: FakeObserver, name: str, *arguments: object, **options: Any
    ) -> tuple[object, palomar.ServerVersion | None]:
        if self.kind == "asyncio":
            return asyncio.run(self._call_async(server, name, arguments, options))
        with palomar.Client(server.target, **options) as client:
            answer = getattr(client, name)(*arguments)
            if isinstance(answer, Iterator) or hasattr(answer, "__iter__"):
                answer = list(answer)
            return answer, client.server_version

    async def _call_async(
        self, server: FakeObserver, name: str, arguments: tuple[object, ...], options: Any
    ) -> tuple[object, palomar.ServerVersion | None]:
        async with palomar.AsyncClient(server.target, **options) as client:
            answer = getattr(client, name)(*arguments)
            if isinstance(answer, AsyncIterator) or hasattr(answer, "__aiter__"):
                return [one async for one in answer], client.server_version
            return await answer, client.server_version


@pytest.fixture(params=["threads", "asyncio"])
def call(request: pytest.FixtureRequest) -> Caller:
    return Caller(request.param)


@pytest.mark.parametrize(("name", "arguments", "script", "answer", "request_seen"), CALLS)
def test_call_brings_the_answer_and_the_version(
    call: Caller,
    name: str,
    arguments: tuple[object, ...],
    script: str,
    answer: object,
    request_seen: object,
) -> None:
    scripts: dict[str, Any] = {script: answer}
    with FakeObserver(**scripts, headers={"hubble-server-version": "1.19.4+g1"}) as server:
        assert call(server, name, *arguments) == (answer, palomar.ServerVersion(node="1.19.4+g1"))
    if request_seen is not None:
        assert server.other_requests == [request_seen]


@pytest.mark.parametrize(
    ("name", "arguments", "advice"),
    [
        ("nodes", (), "only a relay knows the nodes"),
        ("namespaces", (), "read the flows with observe"),
        ("hints", ("pod",), "only palomard answers"),
        ("summarize", (), "only palomard answers"),
        ("explain", (), "only palomard answers"),
        ("watch_peers", (), "only a node"),
    ],
)
def test_server_that_lacks_a_method_says_what_to_do_instead(
    call: Caller, name: str, arguments: tuple[object, ...], advice: str
) -> None:
    with (
        FakeObserver() as server,
        pytest.raises(palomar.Unsupported, match=f"cannot do this: .*{advice}") as caught,
    ):
        call(server, name, *arguments)
    assert caught.value.status == "UNIMPLEMENTED"


@pytest.mark.parametrize("name", ["agent_events", "debug_events"])
def test_relay_that_serves_no_events_says_so(call: Caller, name: str) -> None:
    error = (grpc.StatusCode.UNIMPLEMENTED, "not implemented")
    with (
        FakeObserver(error=error) as server,
        pytest.raises(palomar.Unsupported, match="not implemented; ask the node itself"),
    ):
        call(server, name)


@pytest.mark.parametrize(("name", "arguments", "script", "answer", "_"), CALLS)
def test_status_of_the_server_becomes_an_error_with_its_text(
    call: Caller, name: str, arguments: tuple[object, ...], script: str, answer: object, _: object
) -> None:
    scripts: dict[str, Any] = {script: answer}
    error = (grpc.StatusCode.PERMISSION_DENIED, "not\nyou")
    with (
        FakeObserver(**scripts, error=error) as server,
        pytest.raises(palomar.Unauthorized, match=r"refused access: not you;") as caught,
    ):
        call(server, name, *arguments)
    assert (caught.value.status, caught.value.details) == ("PERMISSION_DENIED", "not\nyou")


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("flows", [1, 3])
def test_flows_tell_the_version_as_well(call: Caller, *, batched: bool, flows: int) -> None:
    answers = [make_response()] * flows
    headers = {"hubble-relay-version": "1.19.4"}
    with FakeObserver(answers, batched=batched, headers=headers) as server:
        read, version = call(server, "stream", GetFlowsRequest())
    assert read == [answer.flow for answer in answers]
    assert version == palomar.ServerVersion(relay="1.19.4")


def test_version_is_known_where_the_server_failed() -> None:
    error = (grpc.StatusCode.INTERNAL, "no")
    headers = {"hubble-server-version": "1.2.3"}
    for read in (palomar.Client.status, lambda client: list(client.observe())):
        with (
            FakeObserver(error=error, headers=headers) as server,
            palomar.Client(server.target) as client,
        ):
            with pytest.raises(palomar.ServerError):
                read(client)
            assert client.server_version == palomar.ServerVersion(node="1.2.3")


async def test_version_is_known_where_the_server_failed_an_asyncio_client() -> None:
    error = (grpc.StatusCode.INTERNAL, "no")
    with FakeObserver(error=error, headers={"hubble-server-version": "1.2.3"}) as server:
        async with palomar.AsyncClient(server.target) as client:
            with pytest.raises(palomar.ServerError):
                [flow async for flow in client.observe()]
            assert client.server_version == palomar.ServerVersion(node="1.2.3")


def test_without_batches_only_hubbles_call_is_made(call: Caller) -> None:
    with FakeObserver([make_response()]) as server:
        read, version = call(server, "stream", GetFlowsRequest(number=1), batches=False)
    assert read == [make_response().flow]
    assert version is None
    assert server.calls == ["GetFlows"]
    assert server.requests == [GetFlowsRequest(number=1)]


def test_health_is_one_of_its_states_or_none(call: Caller) -> None:
    for health in (palomar.Health.NOT_SERVING, None):
        with FakeObserver(health=health) as server:
            assert call(server, "health")[0] is health


def test_token_goes_with_every_call(call: Caller) -> None:
    auth = palomar.BearerToken("secret")
    with FakeObserver(nodes=NODES) as server:
        for name in ("status", "nodes", "observe", "agent_events"):
            call(server, name, auth=auth)
    assert [metadata["authorization"] for metadata in server.metadata] == ["Bearer secret"] * 4


def test_settled_errors_are_answers() -> None:
    operation = operations.health()
    assert operation.settle(palomar.Unsupported("no")) is None
    assert operation.settle(palomar.InvalidRequest("not found")) is palomar.Health.SERVICE_UNKNOWN
    with pytest.raises(palomar.ServerError):
        operation.settle(palomar.ServerError("broken"))
    with pytest.raises(palomar.Unsupported):
        operations.nodes().settle(palomar.Unsupported("no"))


def test_answers_of_a_newer_server_are_read_and_kept(call: Caller) -> None:
    """Unknown fields, enumerations and extensions pass through."""
    data = bytes.fromhex("10e707") + b"\x82\xb2\x12\x02hi"  # verdict 999, and field 37408
    flow = Flow.FromString(data)
    flow.extensions.type_url = "type.googleapis.com/acme.Unheard"
    flow.extensions.value = b"\x08\x01"
    with FakeObserver([GetFlowsResponse(flow=flow)] * 2) as server:
        read, _ = call(server, "stream", GetFlowsRequest())
    assert read == [flow, flow]
    view = palomar.FlowView(flow)
    assert view.verdict == "999"
    assert palomar.to_dict(flow)["verdict"] == 999


def test_token_in_a_file_is_read_anew_for_each_call(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one")
    auth = palomar.BearerToken(file=path)
    with FakeObserver() as server, palomar.Client(server.target, auth=auth) as client:
        client.status()
        path.write_text("two\n")
        list(client.observe())
        path.unlink()
        with pytest.raises(palomar.InvalidRequest, match="cannot read the bearer token file"):
            client.health()
    assert [one["authorization"] for one in server.metadata] == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("start_recording", "Start"),
        ("recordings", "List"),
        ("recording", "Get"),
        ("watch_recording", "Watch"),
        ("stop_recording", "Stop"),
        ("delete_recording", "Delete"),
        ("record_stream", "Stream"),
    ],
)
def test_recordings_are_asked_of_their_service(call: Caller, name: str, method: str) -> None:
    error = (grpc.StatusCode.FAILED_PRECONDITION, "it cannot")
    arguments = () if name in {"start_recording", "recordings", "record_stream"} else ("web-0",)
    recordings = FakeRecordings()
    with (
        FakeObserver(recordings=recordings, errors={method: error}) as server,
        pytest.raises(palomar.InvalidRequest, match="it cannot"),
    ):
        call(server, name, *arguments)
    [request] = server.other_requests
    assert type(request).__name__ == f"{method}Request"


def test_only_what_ends_with_its_work_may_take_as_long_as_it_likes() -> None:
    assert operations.stop_recording("web-0").patient
    assert not operations.recording("web-0").patient
