import json

import grpc
import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.testing import FakeObserver
from palomar_proto.peer.peer_pb2 import ChangeNotification, ChangeNotificationType

PEERS = [
    ChangeNotification(name="n1", address="10.0.0.1:4244", type=ChangeNotificationType.PEER_ADDED),
    ChangeNotification(name="n1", type=ChangeNotificationType.PEER_DELETED),
]


def watched(server: FakeObserver, *words: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["watch", *words, "--server", server.target], env=env)


@pytest.mark.parametrize("name", ["peers", "peer"])
def test_changes_are_shown_until_the_stream_ends(name: str) -> None:
    with FakeObserver(peers=PEERS) as server:
        ended = watched(server, name)
    assert ended.stdout == "PEER_ADDED   10.0.0.1:4244 n1\nPEER_DELETED  n1\n"
    assert ended.exit_code == 0


def test_json_is_a_line_each() -> None:
    with FakeObserver(peers=PEERS) as server:
        lines = watched(server, "peers", "-o", "json").stdout.splitlines()
    assert json.loads(lines[1]) == {"name": "n1", "type": "PEER_DELETED"}


def test_failure_ends_it_with_1() -> None:
    errors = {"Notify": (grpc.StatusCode.UNAVAILABLE, "gone")}
    with FakeObserver(peers=PEERS[:1], errors=errors) as server:
        ended = watched(server, "peers", env={"PALOMAR_STRICT_HUBBLE": "1"})
    assert ended.exit_code == 1
    assert ended.stdout == "PEER_ADDED   10.0.0.1:4244 n1\n"
    assert ended.stderr.endswith("rpc error: code = Unavailable desc = gone\n")


def test_newer_server_is_told_of_once() -> None:
    with FakeObserver(peers=PEERS, headers={"hubble-server-version": "v1.20"}) as server:
        assert watched(server, "peers").stderr.count("the API of Hubble 1.20") == 1
