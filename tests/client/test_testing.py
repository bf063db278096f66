from pathlib import Path

import grpc
import pytest

from palomar.auth import BearerToken
from palomar.client import Client
from palomar.errors import ServerError, Unsupported
from palomar.fake_recordings import FakeRecordings
from palomar.testing import FakeObserver, make_response
from palomar_proto.observer.observer_pb2 import GetAgentEventsResponse, GetDebugEventsResponse
from palomar_proto.palomar.v1.hints_pb2 import FilterHintsRequest, FilterHintsResponse

NOT_HERE = (grpc.StatusCode.UNIMPLEMENTED, "not here")


def test_each_call_gets_the_script_and_is_remembered() -> None:
    with FakeObserver([make_response()]) as server, Client(server.target) as client:
        assert [len(list(client.observe(last=number))) for number in (1, 2)] == [1, 1]
    assert [request.number for request in server.requests] == [1, 2]


def test_socket_is_gone_afterwards() -> None:
    with FakeObserver() as server:
        path = Path(server.target.removeprefix("unix:"))
        assert path.is_socket()
    assert not path.parent.exists()


def test_events_have_scripts_and_requests_of_their_own() -> None:
    agent, debug = GetAgentEventsResponse(node_name="a"), GetDebugEventsResponse(node_name="d")
    with (
        FakeObserver(agent_events=[agent], debug_events=[debug]) as server,
        Client(server.target) as client,
    ):
        assert list(client.agent_events(last=1)) == [agent]
        assert list(client.debug_events(last=2)) == [debug]
    assert not server.requests
    assert [request.number for request in server.event_requests] == [1, 2]


def test_methods_without_a_script_are_unimplemented() -> None:
    with FakeObserver() as server, Client(server.target) as client:
        for ask in (client.nodes, client.namespaces, client.summarize, client.explain):
            with pytest.raises(Unsupported):
                ask()
        with pytest.raises(Unsupported):
            list(client.watch_peers())


def test_recorder_is_there_where_it_is_wanted() -> None:
    with (
        FakeObserver() as server,
        Client(server.target) as client,
        pytest.raises(Unsupported),
    ):
        client.recordings()
    with FakeObserver(recordings=FakeRecordings()) as server, Client(server.target) as client:
        assert not client.recordings().recordings


def test_script_may_be_a_function_of_the_request() -> None:
    def hints(request: FilterHintsRequest) -> FilterHintsResponse:
        return FilterHintsResponse(distinct=request.limit)

    with FakeObserver(hints=hints) as server, Client(server.target) as client:
        assert [client.hints("pod", limit=number).distinct for number in (1, 2)] == [1, 2]
    assert len(server.other_requests) == 2


def test_one_method_may_fail_alone() -> None:
    errors = {"ServerStatus": (grpc.StatusCode.INTERNAL, "broken"), "GetNodes": NOT_HERE}
    with FakeObserver([make_response()], errors=errors) as server, Client(server.target) as client:
        assert len(list(client.observe())) == 1
        with pytest.raises(ServerError, match="broken"):
            client.status()
        with pytest.raises(Unsupported, match="not here"):
            client.nodes()


def test_metadata_of_both_sides_is_sent() -> None:
    headers = {"hubble-relay-version": "1.2.3"}
    auth = BearerToken("t")
    with FakeObserver(headers=headers) as server, Client(server.target, auth=auth) as client:
        list(client.observe())
        assert str(client.server_version) == "1.2.3"
    assert server.metadata[0]["authorization"] == "Bearer t"
