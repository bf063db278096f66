from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter

from palomar_server.endpoints import Endpoint
from palomar_server.hooks import HookServer, RingReader, Server
from palomar_server.hooks.testing import FakeServer
from palomar_server.settings import Settings
from palomar_server.surroundings import DropSite, Interface
from palomar_server.testing import Core, flow_rows


def test_hooks_find_what_rows_refer_to() -> None:
    core = Core()
    registry = CollectorRegistry()
    tables = core.surroundings
    endpoint = tables.endpoints.upsert("web", Endpoint(pod_name="web"), ["192.0.2.1"], 1)
    interface = tables.interfaces.row(Interface(7, "lxc7"))
    site = tables.drop_sites.row(DropSite("TCP_RESET", "tcp_v4_rcv"))
    server: Server = HookServer(
        Settings(node_name="one"), core.ring, tables, "default/one", registry.register
    )
    assert server.endpoint(endpoint).pod_name == "web"
    assert server.endpoint(0) == Endpoint()
    assert server.interface(interface).name == "lxc7"
    assert server.drop_site(site).function == "tcp_v4_rcv"
    assert server.settings.node_name == "one"
    assert server.generation == tables.generation


def test_the_node_is_the_one_that_payloads_are_from() -> None:
    core = Core()
    server = HookServer(Settings(), core.ring, core.surroundings, "default/one", lambda _: None)
    assert server.node_name == "default/one"
    core.surroundings.apply({"node_name": "default/recorded"})
    assert server.node_name == "default/recorded"


def test_hooks_can_look_back() -> None:
    server = FakeServer()
    ring: RingReader = server.ring
    server.core.ring.append(flow_rows(3, source_port=[1, 2, 3]))
    ports = [
        port
        for _, rows in ring.spans(ring.oldest, ring.next)
        for port in rows["source_port"].tolist()
    ]
    assert ports == [1, 2, 3]


def test_collectors_of_hooks_are_registered_once() -> None:
    server = FakeServer()
    counter = Counter("acme_drops", "Drops.", registry=None)
    server.register_collector(counter)
    assert server.registry.get_sample_value("acme_drops_total") == 0
    with pytest.raises(ValueError, match="Duplicated"):
        server.register_collector(counter)
