"""Fields about a flow as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.matcher import compile_filter

AGENT = flow_pb2.AgentEvent(type=flow_pb2.AGENT_STARTED)
DEBUG = flow_pb2.DebugEvent(type=flow_pb2.DBG_GENERIC)
LOST = flow_pb2.LostEvent()


def flow(**content: Any) -> flow_pb2.Flow:
    return json_format.ParseDict(content, flow_pb2.Flow())


def matches(event: Any, **fields: Any) -> bool:
    flow_filter = json_format.ParseDict(fields, flow_pb2.FlowFilter())
    return compile_filter(flow_filter).matches(event)


@pytest.mark.parametrize(
    ("fields", "yes", "no"),
    [
        ({"uuid": ["a"]}, flow(uuid="a"), flow(uuid="ab")),
        ({"verdict": ["DROPPED", 99]}, flow(verdict="DROPPED"), flow(verdict="FORWARDED")),
        ({"verdict": ["VERDICT_UNKNOWN"]}, flow(), flow(verdict="FORWARDED")),
        ({"traffic_direction": ["EGRESS"]}, flow(traffic_direction="EGRESS"), flow()),
        ({"ip_version": ["IP_NOT_USED"]}, flow(), flow(IP={"ipVersion": "IPv4"})),
        ({"encrypted": [False]}, flow(), flow(IP={"encrypted": True})),
        ({"encrypted": [True]}, flow(IP={"encrypted": True}), flow()),
        (
            {"drop_reason_desc": ["POLICY_DENIED"]},
            flow(verdict="DROPPED", drop_reason_desc="POLICY_DENIED"),
            flow(verdict="AUDIT", drop_reason_desc="POLICY_DENIED"),
        ),
        ({"reply": [False]}, flow(is_reply=False), flow()),
        ({"reply": [False]}, flow(verdict="DROPPED"), flow(verdict="DROPPED", is_reply=True)),
        ({"reply": [True]}, flow(is_reply=True), flow(verdict="DROPPED")),
        ({"interface": [{}]}, flow(interface={}), flow()),
        ({"interface": [{"name": "a"}]}, flow(interface={"name": "a"}), flow(interface={})),
        ({"protocol": ["dns", "udp"]}, flow(l7={"dns": {}}), flow(l7={"http": {}})),
        ({"protocol": ["icmp"]}, flow(l4={"ICMPv6": {}}), flow(l4={"IGMP": {}})),
        (
            {"tcp_flags": [{"SYN": True}]},
            flow(l4={"TCP": {"flags": {"SYN": True, "ACK": True}}}),
            flow(l4={"TCP": {"flags": {"ACK": True}}}),
        ),
        ({"tcp_flags": [{}]}, flow(l4={"TCP": {"flags": {}}}), flow(l4={"TCP": {}})),
        (
            {"source_ip_xlated": ["::1"]},
            flow(IP={"source_xlated": "::1"}),
            flow(IP={"source": "::1"}),
        ),
        ({"node_name": ["default/*"]}, flow(node_name="n"), flow()),
        ({"node_labels": ["gpu"]}, flow(node_labels=["gpu=1"]), flow(node_labels=["x=gpu"])),
        (
            {"trace_id": ["a"]},
            flow(trace_context={"parent": {"trace_id": "a"}}),
            flow(trace_context={"parent": {"trace_id": "A"}}),
        ),
        ({"ip_trace_id": [7]}, flow(ip_trace_id={"trace_id": 7}), flow()),
        (
            {"experimental": {"cel_expression": ["_flow.uuid == 'a'"]}},
            flow(uuid="a"),
            flow(uuid="b"),
        ),
    ],
)
def test_field_matches(fields: dict[str, Any], yes: flow_pb2.Flow, no: flow_pb2.Flow) -> None:
    assert matches(yes, **fields)
    assert not matches(no, **fields)


@pytest.mark.parametrize(
    ("types", "event", "expected"),
    [
        ([{}], flow(event_type={"type": 4}), True),
        ([{}], flow(), False),
        ([{}], AGENT, True),
        ([{}], DEBUG, True),
        ([{"type": 130}], AGENT, True),
        ([{"type": 2}], AGENT, False),
        ([{"type": 130, "match_sub_type": True, "sub_type": 2}], AGENT, True),
        ([{"type": 130, "match_sub_type": True, "sub_type": 3}], AGENT, False),
        ([{"type": 2, "match_sub_type": True, "sub_type": 1}], DEBUG, True),
        ([{"match_sub_type": True, "sub_type": 1}], DEBUG, True),
        ([{"type": 1}, {"type": 4}], flow(event_type={"type": 4}), True),
        ([{"type": 255}], LOST, True),
    ],
)
def test_event_types_are_of_all_events(
    types: list[dict[str, Any]], event: object, *, expected: bool
) -> None:
    assert matches(event, event_type=types) is expected


@pytest.mark.parametrize("event", [AGENT, DEBUG, LOST])
def test_other_events_match_what_an_empty_flow_would_where_nothing_is_asked_for(
    event: object,
) -> None:
    assert matches(event, trace_id=[""])
    assert matches(event, ip_trace_id=[0])
    assert matches(event, node_labels=["!gpu"])
    assert matches(event, source_label=["app!=x"])
    assert matches(event, experimental={"cel_expression": ["true"]})
    for refused in ({"verdict": [0]}, {"uuid": [""]}, {"encrypted": [False]}, {"ip_version": [0]}):
        assert not matches(event, **refused)


def test_an_experiment_without_an_expression_says_nothing() -> None:
    assert matches(flow(), experimental={})
