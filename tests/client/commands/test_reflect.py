import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner
from grpc_reflection.v1alpha import reflection

from palomar.cli import cli
from palomar.testing import FakeObserver
from palomar_proto.palomar.v1 import queries_pb2
from palomar_proto.peer import peer_pb2

SERVICES = ["palomar.v1.Queries", "peer.Peer"]
assert all((queries_pb2.DESCRIPTOR, peer_pb2.DESCRIPTOR))  # imported, so that they can be told of


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A stock server, which has v1alpha only."""
    server = grpc.server(ThreadPoolExecutor(2))
    reflection.enable_server_reflection((*SERVICES, reflection.SERVICE_NAME), server)
    target = f"unix:{tmp_path}/s"
    server.add_insecure_port(target)
    server.start()
    yield target
    server.stop(None).wait()


def test_services_and_their_methods_are_listed(server: str) -> None:
    ended = CliRunner().invoke(cli, ["reflect", "--server", server])
    lines = ended.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == SERVICES
    assert "  Notify(peer.NotifyRequest) returns (stream peer.ChangeNotification)" in lines


@pytest.mark.parametrize(
    ("words", "env"), [(["-o", "json"], {}), ([], {"PALOMAR_STRICT_HUBBLE": "1"})]
)
def test_files_are_dumped_once(server: str, words: list[str], env: dict[str, str]) -> None:
    ended = CliRunner().invoke(cli, ["reflect", *words, "--server", server], env=env)
    names = [json.loads(line)["name"] for line in ended.stdout.splitlines()]
    assert names[0] == "palomar_proto/palomar/v1/queries.proto"
    assert names[-1] == "palomar_proto/peer/peer.proto"
    assert len(set(names)) == len(names)


def test_server_that_does_not_tell() -> None:
    with FakeObserver() as server:
        ended = CliRunner().invoke(cli, ["reflect", "--server", server.target])
    assert ended.exit_code == 1
    assert "cannot do this" in ended.stderr
