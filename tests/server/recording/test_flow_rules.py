from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from palomar_bpf.capture_rule import CaptureRule, PacketPoint
from palomar_proto.flow import flow_pb2
from palomar_server.recording.flow_rules import FlowRules
from tests.server.recording.random_capture import LINKS, new_encoder, new_surroundings

FlowFilter = flow_pb2.FlowFilter
Link = flow_pb2.NetworkInterface
Type = flow_pb2.EventTypeFilter
TC = frozenset({PacketPoint.INGRESS, PacketPoint.EGRESS})
DROP = frozenset({PacketPoint.DROP})
INSIDE = CaptureRule(protocols=(4, 41, 94))
ANY = [CaptureRule()]


def flow_rules(**fields: Any) -> FlowRules:
    surroundings = new_surroundings()
    return FlowRules(FlowFilter(**fields), surroundings, new_encoder(surroundings))


def rules(**fields: Any) -> list[CaptureRule]:
    return flow_rules(**fields).rules(LINKS)


def networks(*texts: str) -> tuple[Any, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


def test_addresses_ports_and_protocols_are_asked_of_the_packet_or_it_has_one_inside() -> None:
    found = rules(
        source_ip=["10.0.0.0/8"], destination_port=["443", "80"], protocol=["TCP", "icmp"]
    )
    rule = CaptureRule(
        sources=networks("10.0.0.0/8"), destination_ports=(80, 443), protocols=(1, 6, 58)
    )
    assert found == [rule, INSIDE]
    assert rules(destination_ip=["fd00::1"]) == [
        CaptureRule(destinations=networks("fd00::1/128")),
        INSIDE,
    ]


def test_tcp_flags_are_of_tcp_and_ip_versions_have_their_addresses() -> None:
    assert rules(tcp_flags=[flow_pb2.TCPFlags()]) == [CaptureRule(protocols=(6,)), INSIDE]
    assert rules(ip_version=[flow_pb2.IPv4]) == [CaptureRule(sources=networks("0.0.0.0/0")), INSIDE]
    both = [flow_pb2.IPv6, flow_pb2.IPv4]
    assert rules(ip_version=both)[0] == CaptureRule(sources=networks("0.0.0.0/0", "::/0"))
    assert rules(ip_version=[flow_pb2.IPv6, flow_pb2.IP_NOT_USED]) == ANY


def test_port_0_is_asked_of_the_server() -> None:
    assert rules(source_port=["0", "80"]) == [CaptureRule(protocols=(6, 17, 132)), INSIDE]


def test_an_address_that_no_flow_shows_selects_nothing() -> None:
    assert rules(source_ip=["FD00::1"]) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"source_pod": ["web"]},
        {"source_label": ["app=web"]},
        {"source_workload": [flow_pb2.Workload(name="web")]},
        {"source_identity": [256]},
        {"source_pod": ["/"], "source_label": ["app in (web, db)"]},
    ],
)
def test_endpoints_are_the_addresses_that_they_have(fields: dict[str, Any]) -> None:
    found = rules(**fields)
    sources = {network for rule in found for network in rule.sources}
    assert sources == set(networks("10.0.0.1/32", "fd00::1/128"))
    assert found[-1] == INSIDE


def test_prefixes_of_endpoints_are_taken_too() -> None:
    (rule, _) = rules(destination_identity=[16_777_217])
    assert set(rule.destinations) == set(networks("2001:db8::/32", "10.0.0.0/8"))


@pytest.mark.parametrize(
    "fields",
    [
        {"source_identity": [2, 256]},
        {"source_label": ["!app"]},
        {"source_label": ["reserved:world"]},
        # Packets that are not IP have that.
        {"source_identity": [0]},
    ],
)
def test_the_world_has_any_address(fields: dict[str, Any]) -> None:
    assert rules(**fields) == ANY


def test_an_endpoint_that_is_not_there_selects_nothing_and_both_ends_have_to_be() -> None:
    assert rules(source_pod=["nobody"]) == []
    both = rules(source_pod=["web"], destination_pod=["shop/cart"])
    assert both == [
        CaptureRule(
            sources=networks("10.0.0.1/32", "fd00::1/128"), destinations=networks("10.0.0.2/32")
        ),
        INSIDE,
    ]


@pytest.mark.parametrize(
    ("fields", "points"),
    [
        ({"verdict": [flow_pb2.DROPPED]}, DROP),
        ({"verdict": [flow_pb2.FORWARDED]}, TC),
        ({"event_type": [Type(type=1)]}, DROP),
        ({"event_type": [Type(type=4, match_sub_type=True, sub_type=5)]}, TC),
        ({"drop_reason_desc": [1_003]}, DROP),
        ({"drop_reason_desc": [0]}, TC | DROP),
        ({"event_type": [Type()]}, TC | DROP),
        ({"verdict": [flow_pb2.DROPPED, flow_pb2.FORWARDED]}, TC | DROP),
    ],
)
def test_what_happened_tells_where_packets_are_seen(
    fields: dict[str, Any], points: frozenset[PacketPoint]
) -> None:
    assert rules(**fields) == [CaptureRule(points=points)]


def test_what_cannot_have_happened_selects_nothing() -> None:
    assert rules(verdict=[flow_pb2.FORWARDED], drop_reason_desc=[1_003]) == []


def test_interfaces_are_those_of_that_name_or_number_and_drops_anywhere() -> None:
    dropped = CaptureRule(points=DROP)
    for link, found in (
        (Link(name="lxc1"), (2,)),
        (Link(index=3, name="lxc2"), (3,)),
        (Link(index=77), (77,)),
    ):
        assert rules(interface=[link]) == [dropped, CaptureRule(points=TC, ifindexes=found)]
    for link in (Link(name="nothing"), Link(index=3, name="lxc1")):
        assert rules(interface=[link]) == [dropped]
    passing = rules(interface=[Link(name="nothing")], verdict=[flow_pb2.FORWARDED])
    assert passing == []
    assert rules(interface=[Link()]) == ANY


@pytest.mark.parametrize(
    "fields",
    [
        {"traffic_direction": [flow_pb2.INGRESS]},
        {"reply": [True]},
        {"source_fqdn": ["example.org"]},
        {"destination_service": ["web"]},
        {"node_name": ["elsewhere"]},
        {"experimental": FlowFilter.Experimental(cel_expression=["false"])},
    ],
)
def test_what_only_the_server_knows_asks_nothing_of_the_kernel(fields: dict[str, Any]) -> None:
    one = flow_rules(**fields)
    assert one.rules(LINKS) == ANY
    assert not one.is_exact


def test_only_what_follows_from_the_point_is_exact() -> None:
    assert flow_rules().is_exact
    assert flow_rules(verdict=[flow_pb2.DROPPED], event_type=[Type(type=1)]).is_exact
    assert not flow_rules(event_type=[Type(type=4, match_sub_type=True)]).is_exact
    assert not flow_rules(source_ip=["10.0.0.1"]).is_exact


def test_rules_by_endpoint_or_interface_change_with_those() -> None:
    assert flow_rules(source_ip=["10.0.0.1"], verdict=[flow_pb2.DROPPED]).is_fixed
    for fields in ({"source_pod": ["web"]}, {"interface": [Link(name="x")]}):
        assert not flow_rules(**fields).is_fixed
