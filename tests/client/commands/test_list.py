import json

import grpc
import pytest
from click.testing import CliRunner, Result

from palomar.cli import cli
from palomar.testing import FakeObserver
from palomar_proto.observer.observer_pb2 import (
    GetNamespacesResponse,
    GetNodesResponse,
    Namespace,
    Node,
)

NODES = GetNodesResponse(nodes=[Node(name="b"), Node(name="a", address="10.0.0.1:4244")])
NAMESPACES = GetNamespacesResponse(namespaces=[Namespace(cluster="west", namespace="shop")])
STRICT = {"PALOMAR_STRICT_HUBBLE": "1"}


def listed(server: FakeObserver, *words: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["list", *words, "--server", server.target], env=env)


@pytest.mark.parametrize("name", ["nodes", "node"])
def test_nodes_are_sorted_by_name(name: str) -> None:
    with FakeObserver(nodes=NODES) as server:
        ended = listed(server, name)
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["NAME", "a", "b"]


@pytest.mark.parametrize("name", ["namespaces", "namespace", "ns"])
def test_namespaces_have_a_cluster_in_wide(name: str) -> None:
    with FakeObserver(namespaces=NAMESPACES) as server:
        assert listed(server, name).stdout == "NAMESPACE\nshop\n"
        assert (
            listed(server, name, "-o", "wide").stdout == "NAMESPACE   CLUSTER\nshop        west\n"
        )


def test_json_lists_messages() -> None:
    with FakeObserver(nodes=NODES, namespaces=NAMESPACES) as server:
        nodes = json.loads(listed(server, "nodes", "-o", "json").stdout)
        namespaces = json.loads(listed(server, "namespaces", "-o", "json").stdout)
    assert nodes == [{"name": "a", "address": "10.0.0.1:4244"}, {"name": "b"}]
    assert namespaces == [{"cluster": "west", "namespace": "shop"}]


def test_node_has_no_list_of_nodes() -> None:
    errors = {"GetNodes": (grpc.StatusCode.UNIMPLEMENTED, "not here")}
    with FakeObserver(errors=errors) as server:
        ended, strict = listed(server, "nodes"), listed(server, "nodes", env=STRICT)
    assert (ended.exit_code, strict.exit_code) == (1, 1)
    assert "only a relay" in ended.stderr
    assert strict.stderr.endswith("rpc error: code = Unimplemented desc = not here\n")


def test_strict_format_is_looked_at_last() -> None:
    with FakeObserver(nodes=NODES) as server:
        ended = listed(server, "nodes", "-o", "bogus", env=STRICT)
        assert listed(server, "nodes", "-o", "bogus").exit_code == 2
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.endswith("unknown output format: bogus\n")


def test_newer_relay_is_told_of() -> None:
    with FakeObserver(nodes=NODES, headers={"hubble-relay-version": "2.0.0"}) as server:
        assert "the relay serves the API of Hubble 2.0" in listed(server, "nodes").stderr
