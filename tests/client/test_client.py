import threading
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.json_format import ParseDict

import palomar
from palomar.testing import FakeObserver, make_response
from palomar_proto.flow.flow_pb2 import DebugEvent
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetDebugEventsResponse,
    GetFlowsResponse,
    ServerStatusResponse,
)

if TYPE_CHECKING:
    from palomar_proto.flow.flow_pb2 import LostEvent
    from palomar_proto.relay.relay_pb2 import NodeStatusEvent


def test_observe_sends_the_request_and_yields_flows() -> None:
    answers = [make_response(), make_response(Summary="UDP")]
    with FakeObserver(answers) as server, palomar.Client(server.target) as client:
        flows = list(client.observe(verdict="drop", last=2))
    assert [flow.Summary for flow in flows] == ["TCP Flags: SYN", "UDP"]
    assert server.requests[0].number == 2
    assert server.requests[0].whitelist[0].verdict == [2]


def test_network_addresses_work_as_sockets_do() -> None:
    with (
        FakeObserver([make_response()], loopback=True) as server,
        palomar.Client(server.target) as client,
    ):
        assert len(list(client.observe())) == 1


def test_losses_are_counted_and_passed_on(
    loss: GetFlowsResponse, nodes_down: GetFlowsResponse
) -> None:
    losses: list[LostEvent] = []
    nodes: list[NodeStatusEvent] = []
    with (
        FakeObserver([make_response(), loss, nodes_down, loss]) as server,
        palomar.Client(server.target) as client,
    ):
        stream = client.observe(on_lost=losses.append, on_node_status=nodes.append)
        assert len(list(stream)) == 1
    assert stream.lost_events == 14
    assert losses == [loss.lost_events] * 2
    assert nodes == [nodes_down.node_status]


def test_responses_yield_everything_in_order(
    loss: GetFlowsResponse, nodes_down: GetFlowsResponse
) -> None:
    answers = [nodes_down, make_response(), loss]
    with FakeObserver(answers) as server, palomar.Client(server.target) as client:
        assert list(client.observe().responses()) == answers


def test_leaving_the_block_ends_the_call() -> None:
    with (
        FakeObserver([make_response()], hold=True) as server,
        palomar.Client(server.target) as client,
    ):
        with client.observe(follow=True) as stream:
            assert next(iter(stream)).Summary
        assert server.cancelled.wait(timeout=10)


def test_close_from_another_thread_ends_the_stream() -> None:
    with (
        FakeObserver([make_response()], hold=True) as server,
        palomar.Client(server.target) as client,
    ):
        stream = client.observe(follow=True)
        for _ in stream:
            threading.Thread(target=stream.close).start()
    assert server.cancelled.wait(timeout=10)


def test_errors_of_the_stream_come_after_its_flows() -> None:
    refused = (grpc.StatusCode.INVALID_ARGUMENT, "bad pod")
    with (
        FakeObserver([make_response()], error=refused) as server,
        palomar.Client(server.target) as client,
    ):
        stream = iter(client.observe())
        assert next(stream).Summary
        with pytest.raises(palomar.InvalidRequest, match="bad pod"):
            next(stream)


def test_stream_that_the_server_cancels_just_ends() -> None:
    with (
        FakeObserver([make_response()], error=(grpc.StatusCode.CANCELLED, "bye")) as server,
        palomar.Client(server.target) as client,
    ):
        assert len(list(client.observe())) == 1


def test_status_and_health() -> None:
    status = ServerStatusResponse(num_flows=3, max_flows=7)
    with FakeObserver(status=status) as server, palomar.Client(server.target) as client:
        assert client.status() == status
        assert client.health() is palomar.Health.SERVING
        assert client.server == server.target


def test_events_come_with_their_time_and_node() -> None:
    agent = ParseDict(
        {
            "agent_event": {"type": "POLICY_UPDATED"},
            "node_name": "c/n",
            "time": "2024-03-05T10:20:30Z",
        },
        GetAgentEventsResponse(),
    )
    debug = GetDebugEventsResponse(node_name="c/n", debug_event=DebugEvent(message="m"))
    with (
        FakeObserver(agent_events=[agent], debug_events=[debug]) as server,
        palomar.Client(server.target) as client,
    ):
        assert list(client.agent_events(last=2)) == [agent]
        assert list(client.debug_events(since="5m")) == [debug]
    assert server.event_requests[0] == GetAgentEventsRequest(number=2)
    assert server.event_requests[1].HasField("since")


def test_a_server_without_events_is_an_error_while_iterating() -> None:
    error = (grpc.StatusCode.UNIMPLEMENTED, "not behind a relay")
    with FakeObserver(error=error) as server, palomar.Client(server.target) as client:
        stream = client.agent_events()
        with pytest.raises(palomar.Unsupported, match="not behind a relay"):
            list(stream)


def test_server_without_health_check_has_none() -> None:
    with FakeObserver(health=None) as server, palomar.Client(server.target) as client:
        assert client.health() is None


def test_bad_filter_is_refused_before_any_call() -> None:
    with (
        palomar.Client("localhost:1") as client,
        pytest.raises(palomar.InvalidRequest, match="nope"),
    ):
        client.observe(verdict="nope")


def test_absent_server_is_unavailable(tmp_path: Path) -> None:
    with palomar.Client(f"unix:{tmp_path}/x.sock") as client:
        with pytest.raises(palomar.ServerUnavailable, match="no such socket"):
            client.status()
        with pytest.raises(palomar.ServerUnavailable, match="no such socket"):
            list(client.observe())


def test_close_may_be_called_twice() -> None:
    client = palomar.Client("localhost:1")
    client.close()
    client.close()


def test_a_closed_client_says_so() -> None:
    client = palomar.Client("localhost:1")
    client.close()
    for ask in (client.status, client.observe, client.agent_events, client.watch_peers):
        with pytest.raises(palomar.InvalidRequest, match="client is closed"):
            ask()
