import json
from datetime import UTC, datetime, timedelta
from typing import Any
from unicodedata import category

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from palomar import FlowEnd, FlowView, to_dict, to_json
from palomar.testing import make_response
from palomar_proto.flow.flow_pb2 import CiliumEventType, Endpoint, Flow


def view(**changes: Any) -> FlowView:
    return FlowView(make_response(**changes).flow)


def test_plain_packet() -> None:
    flow = view()
    assert flow.time_ns == 1_709_634_030_123_456_789
    assert flow.time == datetime(2024, 3, 5, 10, 20, 30, 123456, tzinfo=UTC)
    assert (flow.verdict, flow.dropped, flow.drop_reason) == ("FORWARDED", False, "")
    assert (flow.node, flow.event_type, flow.protocol) == ("default/node-1", "trace", "tcp")
    assert flow.tcp_flags == ("SYN",)
    assert flow.source.pod == "default/web-0"
    assert (flow.source.namespace, flow.source.pod_name) == ("default", "web-0")
    assert (flow.source.identity, flow.source.ip, flow.source.port) == (20001, "10.0.0.10", 4000)
    assert flow.destination.name == "10.0.0.11"
    assert str(flow) == "default/web-0:4000 -> 10.0.0.11:80 tcp FORWARDED TCP Flags: SYN"
    assert repr(flow) == f"<FlowView {flow}>"


def test_empty_flow_has_empty_properties() -> None:
    flow = FlowView(Flow())
    assert flow.time is None
    assert flow.time_ns == 0
    assert flow.reply is None
    assert flow.http is None
    assert flow.dns is None
    assert flow.latency is None
    assert flow.source.port is None
    assert flow.source.label("app") is None
    assert flow.policies == flow.tcp_flags == flow.source.labels == flow.source.dns_names == ()
    texts = (
        flow.uuid, flow.node, flow.drop_place, flow.event_type, flow.observation_point,
        flow.direction, flow.interface, flow.protocol, flow.summary, flow.source.name,
        flow.source.workload, flow.source.service, flow.source.cluster, flow.source.mac,
    )  # fmt: skip
    assert set(texts) == {""}
    assert not flow.encrypted


@pytest.mark.parametrize(
    ("changes", "reason", "place"),
    [
        (
            {"drop_reason_desc": "POLICY_DENIED", "file": {"name": "bpf_lxc.c", "line": 7}},
            "POLICY_DENIED",
            "bpf_lxc.c:7",
        ),
        (
            {"drop_reason_desc": 1014, "file": {"name": "nft_do_chain"}},
            "NETFILTER_DROP",
            "nft_do_chain",
        ),
        ({"drop_reason_desc": 999}, "999", ""),
    ],
)
def test_drop_has_its_reason_and_place(changes: dict[str, Any], reason: str, place: str) -> None:
    flow = view(verdict="DROPPED", **changes)
    assert flow.dropped
    assert (flow.drop_reason, flow.drop_place) == (reason, place)
    assert f"({reason})" in str(flow)


def test_ends_tell_all_they_know() -> None:
    flow = view(
        destination={
            "namespace": "shop",
            "pod_name": "db-0",
            "cluster_name": "west",
            "labels": ["reserved:world", "k8s:app=db", "k8s:tier="],
            "workloads": [{"kind": "StatefulSet", "name": "db"}],
        },
        destination_service={"namespace": "shop", "name": "db"},
        destination_names=["db.example"],
        ethernet={"destination": "0a:00:00:00:00:01"},
    )
    end = flow.destination
    assert (end.cluster, end.workload, end.service) == ("west", "StatefulSet/db", "shop/db")
    assert end.labels == ("reserved:world", "k8s:app=db", "k8s:tier=")
    assert (end.label("app"), end.label("k8s:app")) == ("db", "db")
    assert (end.label("tier"), end.label("world"), end.label("k8s")) == ("", "", None)
    assert (end.dns_names, end.mac) == (("db.example",), "0a:00:00:00:00:01")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"destination_service": {"name": "db"}, "destination_names": ["x"]}, "db:80"),
        ({"destination_names": ["x", "y"]}, "x, y:80"),
        ({"IP": {"destination": "2001:db8::1"}}, "[2001:db8::1]:80"),
        ({"l4": {"ICMPv4": {"type": 8}}}, "10.0.0.11"),
        ({"IP": None, "l4": None, "ethernet": {"destination": "0a:01"}}, "0a:01"),
    ],
)
def test_an_end_has_the_best_name_there_is(changes: dict[str, Any], name: str) -> None:
    assert str(view(**changes).destination) == name


def test_applications_and_where_it_was_seen() -> None:
    flow = view(
        l7={"type": "RESPONSE", "latency_ns": "1500000", "http": {"code": 200, "method": "GET"}},
        is_reply=True,
        traffic_direction="EGRESS",
        trace_observation_point="TO_ENDPOINT",
        interface={"index": 3},
        event_type={"type": 129},
        egress_allowed_by=[{"name": "a"}],
        ingress_denied_by=[{"name": "b"}],
    )
    assert flow.http
    assert flow.http.code == 200
    assert flow.dns is None
    assert flow.latency == timedelta(milliseconds=1.5)
    assert flow.reply is True
    assert (flow.direction, flow.observation_point) == ("EGRESS", "TO_ENDPOINT")
    assert (flow.interface, flow.event_type) == ("3", "l7")
    assert [policy.name for policy in flow.policies] == ["a", "b"]
    dns = view(l7={"dns": {"query": "x."}}, interface={"index": 3, "name": "eth0"})
    assert dns.dns
    assert dns.dns.query == "x."
    assert dns.interface == "eth0"


def test_numbers_of_a_newer_server_are_given_as_text() -> None:
    flow = view(
        verdict=99,
        traffic_direction=98,
        trace_observation_point=97,
        event_type={"type": 96},
    )
    assert (flow.verdict, flow.direction) == ("99", "98")
    assert (flow.observation_point, flow.event_type) == ("97", "96")


def test_its_line_cannot_steer_the_terminal() -> None:
    flow = view(Summary="\x1b[2J\n", source={"pod_name": "\r\x1b]0;x\x07"})
    assert str(flow).isprintable()
    assert flow.summary == "\x1b[2J\n"


def test_views_of_equal_flows_are_equal() -> None:
    assert view() == view()
    assert view() != view(Summary="other")
    assert view() != view().flow


def test_json_is_that_of_protobuf() -> None:
    flow = view()
    assert flow.to_dict() == to_dict(flow.flow) == json.loads(to_json(flow.flow))
    assert flow.to_dict() == MessageToDict(flow.flow, preserving_proto_field_name=True)


NUMBERS = st.integers(-(2**31), 2**31 - 1)
TEXTS = st.text(max_size=8)


@given(
    numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    texts=st.tuples(TEXTS, TEXTS, TEXTS, TEXTS),
    seconds=st.integers(-(2**63), 2**63 - 1),
)
def test_whatever_is_in_a_flow_can_be_looked_at(
    numbers: tuple[int, ...], texts: tuple[str, ...], seconds: int
) -> None:
    verdict, direction, point, event_type, reason = numbers
    pod, namespace, label, summary = texts
    message = Flow(
        verdict=verdict,  # type: ignore[arg-type]  # enumerations are open
        traffic_direction=direction,  # type: ignore[arg-type]  # likewise
        trace_observation_point=point,  # type: ignore[arg-type]  # likewise
        drop_reason_desc=reason,  # type: ignore[arg-type]  # likewise
        event_type=CiliumEventType(type=event_type),
        time=Timestamp(seconds=seconds, nanos=verdict),
        source=Endpoint(pod_name=pod, namespace=namespace, labels=[label]),
        source_names=[label],
        Summary=summary,
    )
    flow = FlowView(message)
    for kind, seen in ((FlowView, flow), (FlowEnd, flow.source), (FlowEnd, flow.destination)):
        for name in (name for name in dir(kind) if isinstance(getattr(kind, name), property)):
            getattr(seen, name)
    flow.source.label(pod)
    assert not any(category(character) == "Cc" for character in str(flow))


def test_parsed_from_json_it_is_the_same() -> None:
    assert FlowView(ParseDict(view().to_dict(), Flow())) == view()
