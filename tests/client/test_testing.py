from pathlib import Path

from palomar.client import Client
from palomar.testing import FakeObserver, make_response
from palomar_proto.observer.observer_pb2 import GetAgentEventsResponse, GetDebugEventsResponse


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
