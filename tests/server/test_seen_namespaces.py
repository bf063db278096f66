from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import EndpointTable
from palomar_server.hooks import FlowBatch
from palomar_server.seen_namespaces import TTL_NS, SeenNamespaces
from palomar_server.testing import START_NS, Core, FakeClock, flow_rows

NS = 1_000_000_000


class Node:
    """An endpoint table, and what was seen of it."""

    def __init__(self, **options: int) -> None:
        self.core = Core(endpoints=EndpointTable(rows_max=500, grace_ns=0))
        self.clock = FakeClock()
        endpoints = self.core.surroundings.endpoints
        self.seen = SeenNamespaces(endpoints, clock_ns=self.clock, **options)

    def pod(self, name: str, namespace: str, oldest_ns: int = 0) -> None:
        change = {"at_ns": 0, "addresses": [f"10.0.0.{len(name)}"], "namespace": namespace}
        self.core.surroundings.apply({"endpoints": {name: change}}, oldest_ns=oldest_ns)

    def see(self, source: int = 0, destination: int = 0, messages: tuple[bytes, ...] = ()) -> None:
        rows = flow_rows(
            1,
            source_endpoint=source,
            destination_endpoint=destination,
            message=1 if messages else 0,
        )
        self.seen.on_decoded_flow(FlowBatch(rows, self.core.encoder, messages))


def test_namespaces_of_both_ends_are_told_in_order() -> None:
    node = Node()
    node.pod("a", "shop")
    node.pod("bb", "default")
    node.pod("ccc", "unseen")
    assert node.seen.namespaces() == []
    node.see(1, 2)
    node.see(0, 1)
    assert node.seen.namespaces() == ["default", "shop"]


def test_a_namespace_is_forgotten_an_hour_after_its_last_flow() -> None:
    node = Node()
    node.pod("a", "shop")
    node.see(1)
    node.clock.now_ns += TTL_NS - 1
    assert node.seen.namespaces() == ["shop"]
    node.clock.now_ns += 1
    assert node.seen.namespaces() == []
    node.see(1)
    assert node.seen.namespaces() == ["shop"]


def test_namespaces_of_flows_with_a_message_are_those_it_names() -> None:
    node = Node()
    flow = flow_pb2.Flow()
    flow.source.namespace, flow.destination.namespace = "web", "db"
    node.see(messages=(flow.SerializeToString(),))
    assert node.seen.namespaces() == ["db", "web"]


def test_a_row_that_gets_another_meaning_keeps_what_was_seen_before() -> None:
    core = Core(endpoints=EndpointTable(rows_max=1, grace_ns=0))
    seen = SeenNamespaces(core.surroundings.endpoints, clock_ns=FakeClock(START_NS))
    rows = flow_rows(1, source_endpoint=1)
    for name, namespace in (("web", "shop"), ("db", "data")):
        pod = {"at_ns": 0, "addresses": ["10.0.0.1"], "namespace": namespace}
        core.surroundings.apply({"endpoints": {name: pod}}, oldest_ns=10)
        seen.on_decoded_flow(FlowBatch(rows, core.encoder))
        core.surroundings.apply({"endpoints": {name: {"removed_ns": 5}}})
    assert seen.namespaces() == ["data", "shop"]


@pytest.mark.parametrize("count", [100, 300])
def test_there_may_be_many(count: int) -> None:
    node = Node()
    for number in range(count):
        node.pod("x" * (number % 200) + str(number), f"ns-{number:03}")
        node.see(number + 1)
    assert node.seen.namespaces() == [f"ns-{number:03}" for number in range(count)]


def test_more_than_the_limit_are_told_once_others_are_past_their_time() -> None:
    node = Node(namespaces_max=3)
    for number, name in enumerate(("a", "bb", "ccc")):
        node.pod(name, f"ns-{name}")
        node.see(number + 1)
    assert node.seen.namespaces() == ["ns-a", "ns-bb"]
    node.clock.now_ns += TTL_NS // 2
    node.see(1)
    node.clock.now_ns += TTL_NS // 2 + 1
    node.see(3)
    assert node.seen.namespaces() == ["ns-a"]
