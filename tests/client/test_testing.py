from pathlib import Path

from palomar.client import Client
from palomar.testing import FakeObserver, make_response


def test_each_call_gets_the_script_and_is_remembered() -> None:
    with FakeObserver([make_response()]) as server, Client(server.target) as client:
        assert [len(list(client.observe(last=number))) for number in (1, 2)] == [1, 1]
    assert [request.number for request in server.requests] == [1, 2]


def test_socket_is_gone_afterwards() -> None:
    with FakeObserver() as server:
        path = Path(server.target.removeprefix("unix:"))
        assert path.is_socket()
    assert not path.parent.exists()
