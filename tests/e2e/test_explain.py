"""Explain, asked over gRPC about what pods and routers of this machine's kernel really drop."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import explanation_pb2, queries_pb2_grpc

from .conftest import DEADLINE_S, Palomard, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palomar_bpf.testbed import Pod, Testbed

pytestmark = pytest.mark.live

CLOSED_PORT, DROPPED_PORT, SINK_PORT = 81, 8080, 90
NARROW_MTU = 1300
Start = Callable[..., Palomard]

SINK = f"""
import socket
with socket.create_server(("", {SINK_PORT})) as server:
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        with connection:
            while connection.recv(65536):
                pass
"""
FLOOD = f"""
import socket, sys, time
with socket.create_connection((sys.argv[1], {SINK_PORT}), timeout=3) as connection:
    connection.sendall(bytes(20_000))
    time.sleep(1.2)
"""


@pytest.fixture
def daemon(palomard: Start, testbed: Testbed) -> Palomard:
    return palomard("--interface", testbed.interface_glob, "--drops", "watched")


def explain(
    daemon: Palomard, request: explanation_pb2.ExplainRequest
) -> explanation_pb2.ExplainResponse:
    with grpc.insecure_channel(f"unix:{daemon.socket}") as channel:
        stub = queries_pb2_grpc.QueriesStub(channel)
        return stub.Explain(request, timeout=DEADLINE_S)


def last(*, any_verdict: bool = False, **filters: list[str]) -> explanation_pb2.ExplainRequest:
    """About the last flow that passes a filter."""
    request = explanation_pb2.ExplainRequest()
    request.last.any_verdict = any_verdict
    request.last.whitelist.add(**filters)
    return request


@pytest.mark.parametrize(
    ("target", "outcome", "reason", "cause", "check"),
    [
        (
            *(CLOSED_PORT, "refused", "NO_SOCKET"),
            *(explanation_pb2.DROP_CAUSE_NO_LISTENER, "ss -lntup 'sport = :81'"),
        ),
        (
            *(DROPPED_PORT, "timeout", "NETFILTER_DROP"),
            *(explanation_pb2.DROP_CAUSE_FIREWALL, "nft list ruleset"),
        ),
    ],
)
def test_dropped_packet_is_explained_with_function_and_what_to_check(
    daemon: Palomard,
    testbed: Testbed,
    target: int,
    outcome: str,
    reason: str,
    cause: int,
    check: str,
) -> None:
    web, client = testbed.pods
    web.drop_port(DROPPED_PORT)
    assert client.traffic("connect", web.ipv4, str(target)) == outcome
    drop = eventually(lambda: daemon.flows("--all", "--verdict", "drop", "--port", str(target)))[0]
    answer = explain(daemon, last(destination_port=[str(target)]))
    assert (answer.reason, answer.cause) == (reason, cause)
    assert answer.function == drop["file"]["name"]
    assert any(check in text for text in answer.check_next)
    assert client.name in answer.headline
    assert web.name in answer.headline
    assert answer.meaning
    assert answer.counts.connection_same_reason >= 1
    before = explanation_pb2.FLOW_RELATION_BEFORE
    assert before in {one.relation for one in answer.related}
    assert explain(daemon, explanation_pb2.ExplainRequest(uuid=drop["uuid"])).reason == reason


@pytest.fixture
def far(testbed: Testbed) -> Iterator[str]:
    """Address of a host behind a router, whose link to it takes less than the client's.

    The client throws away what the router tells it, so that it goes on with packets too large.
    """
    client = testbed.pods[1]
    router = testbed.add_pod(f"plm-router-{os.getpid()}")
    subnet = router.ipv4.split(".")[2]
    near, address = f"198.19.{subnet}.1", f"198.19.{subnet}.2"
    name = f"plm-far-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        ends = ("narrow", "type", "veth", "peer", "name", "eth0", "netns", name)
        router.run("ip", "link", "add", *ends)
        router.run("ip", "address", "add", f"{near}/24", "dev", "narrow")
        router.run("ip", "link", "set", "narrow", "up", "mtu", str(NARROW_MTU))
        router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for command in (
            ("ip", "link", "set", "lo", "up"),
            ("ip", "address", "add", f"{address}/24", "dev", "eth0"),
            ("ip", "link", "set", "eth0", "up"),
            ("ip", "route", "add", "default", "via", near),
        ):
            run("ip", "netns", "exec", name, *command)
        client.run("ip", "route", "add", f"{address}/32", "via", router.ipv4)
        deafen(client)
        with serving(name):
            yield address
    finally:
        run("ip", "netns", "delete", name)


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=DEADLINE_S)


def deafen(pod: Pod) -> None:
    """Make a pod drop messages that its packets were too big: a path-MTU black hole."""
    chain = "type filter hook input priority 0;"
    rule = "icmp type destination-unreachable icmp code frag-needed drop"
    pod.run(
        "nft", "-f", "-", stdin=f"table inet hole {{\n chain input {{\n {chain}\n {rule}\n }}\n}}\n"
    )


@contextlib.contextmanager
def serving(namespace: str) -> Iterator[None]:
    """Take in all that is sent to `SINK_PORT` in a namespace."""
    command = ["ip", "netns", "exec", namespace, sys.executable, "-c", SINK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield
        finally:
            server.kill()


def test_stalled_connection_is_told_to_have_path_mtu_trouble(
    daemon: Palomard, testbed: Testbed, far: str
) -> None:
    client, router = testbed.pods[1], testbed["plm-router-" + str(os.getpid())]
    client.run(sys.executable, "-c", FLOOD, far)
    told = eventually(
        lambda: [flow for flow in daemon.flows() if "FragmentationNeeded" in flow["Summary"]]
    )
    assert {flow["Summary"].partition("; ")[0] for flow in told} == {
        f"ICMPv4 DestinationUnreachable(FragmentationNeeded), MTU {NARROW_MTU}"
    }
    stalled = last(any_verdict=True, source_ip=[client.ipv4], destination_port=[str(SINK_PORT)])
    answer = eventually(
        lambda: found if (found := explain(daemon, stalled)).path_mtu.larger_since else None
    )
    assert answer.cause == explanation_pb2.DROP_CAUSE_PATH_MTU
    assert answer.path_mtu.mtu == NARROW_MTU
    assert answer.path_mtu.router == router.ipv4
    assert (answer.path_mtu.sender, answer.path_mtu.destination) == (client.ipv4, far)
    assert answer.headline.startswith(f"Path MTU: {router.ipv4} told {client.ipv4}")
    assert any(f"tracepath -n {far}" in text for text in answer.check_next)
    relations = {one.relation for one in answer.related}
    assert explanation_pb2.FLOW_RELATION_ICMP_ERROR in relations
    # The router's own drop of such a packet has the same cause.
    drop = explain(daemon, last(drop_reason_desc=[1095]))  # type: ignore[list-item]
    assert (drop.reason, drop.cause) == ("PKT_TOO_BIG", explanation_pb2.DROP_CAUSE_PATH_MTU)
    assert drop.flow.verdict == flow_pb2.DROPPED
