"""Fields about one end of a flow."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.endpoint_fields import Side, endpoint_of
from palomar_proto.flow_filter.matcher import compile_filter

SHOP: dict[str, Any] = {
    "namespace": "shop",
    "pod_name": "cart-0",
    "cluster_name": "west",
    "identity": 20001,
    "labels": ["k8s:app=cart"],
    "workloads": [{"name": "x", "kind": "Job"}, {"name": "cart", "kind": "StatefulSet"}],
}
FLOW = json_format.ParseDict(
    {
        "source": SHOP,
        "IP": {"source": "10.0.0.1", "destination": "fd00::b"},
        "source_names": ["a.com", "b.com"],
        "source_service": {"namespace": "shop", "name": "cart"},
        "l4": {"TCP": {"source_port": 65536 + 80, "destination_port": 443}},
    },
    flow_pb2.Flow(),
)


def matches(field: str, value: Any, flow: flow_pb2.Flow = FLOW) -> bool:
    flow_filter = json_format.ParseDict({field: [value]}, flow_pb2.FlowFilter())
    return compile_filter(flow_filter).matches(flow)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ip", "10.0.0.0/8"),
        ("pod", "shop/cart"),
        ("service", "shop/"),
        ("workload", {"name": "cart"}),
        ("fqdn", "b.*"),
        ("label", "app=cart"),
        ("identity", 20001),
        ("cluster_name", "west"),
        # Of a number that is no port only the 16 bits of one count.
        ("port", "80"),
    ],
)
def test_field_is_of_its_side(name: str, value: object) -> None:
    assert matches(f"source_{name}", value)
    assert not matches(f"destination_{name}", value)


def test_the_other_side_is_the_destination() -> None:
    flow = flow_pb2.Flow(destination=flow_pb2.Endpoint(ID=3))
    sides: tuple[Side, Side] = ("source", "destination")
    assert [endpoint_of(flow, side).ID for side in sides] == [0, 3]
    assert matches("destination_port", "443")
    assert matches("destination_ip", "fd00::b")


def test_identity_0_is_that_of_an_endpoint() -> None:
    flow = flow_pb2.Flow(source=flow_pb2.Endpoint(namespace="x"))
    assert matches("source_identity", 0, flow)
    assert not matches("destination_identity", 0, flow)


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_ports_are_of_the_protocols_that_have_them(protocol: str) -> None:
    flow = json_format.ParseDict({"l4": {protocol: {}}}, flow_pb2.Flow())
    assert matches("source_port", "0", flow)


@pytest.mark.parametrize("l4", [{}, {"ICMPv4": {}}, {"VRRP": {}}])
def test_no_other_flow_has_port_0(l4: dict[str, Any]) -> None:
    assert not matches("source_port", "0", json_format.ParseDict({"l4": l4}, flow_pb2.Flow()))
