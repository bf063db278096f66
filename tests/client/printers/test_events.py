from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from palomar.printers import Look, make_printer
from palomar.printers.events import (
    agent_event_details,
    agent_event_type,
    debug_event_cpu,
    debug_event_mark,
    debug_event_source,
    debug_event_type,
    event_time,
)
from palomar.printers.time_format import time_formatter
from palomar_proto.flow.flow_pb2 import AgentEvent, DebugEvent
from palomar_proto.observer.observer_pb2 import GetAgentEventsResponse, GetDebugEventsResponse

FORMAT = time_formatter()


@pytest.mark.parametrize(
    ("event", "details"),
    [
        ({"unknown": {"type": "9", "notification": "{}"}}, "type: 9, notification: {}"),
        (
            {"type": "AGENT_STARTED", "agent_start": {"time": "2024-03-05T10:20:30.5Z"}},
            "start time: Mar  5 10:20:30.500",
        ),
        ({"type": "AGENT_STARTED", "agent_start": {}}, "start time: N/A"),
        (
            {"type": "POLICY_UPDATED", "policy_update": {"labels": ["a=b", "c=d"], "revision": 2}},
            "labels: [a=b,c=d], revision: 2, count: 0",
        ),
        (
            {
                "type": "ENDPOINT_REGENERATE_FAILURE",
                "endpoint_regenerate": {"id": 1, "labels": ["k8s:app=a"], "error": "no\x1b way"},
            },
            "id: 1, labels: [k8s:app=a], error: no^[ way",
        ),
        (
            {"type": "ENDPOINT_REGENERATE_SUCCESS", "endpoint_regenerate": {"id": 1}},
            "id: 1, labels: []",
        ),
        (
            {"type": "ENDPOINT_CREATED", "endpoint_update": {"id": 7, "pod_name": "p"}},
            "id: 7, pod name: p",
        ),
        (
            {
                "type": "IPCACHE_UPSERTED",
                "ipcache_update": {"cidr": "fd00::/64", "identity": 2, "old_identity": 0,
                                   "host_ip": "192.0.2.1", "old_host_ip": "192.0.2.2"},
            },
            ("cidr: fd00::/64, identity: 2, old identity: 0, host ip: 192.0.2.1, "
            "old host ip: 192.0.2.2, encrypt key: 0"),
        ),
        (
            {
                "type": "SERVICE_UPSERTED",
                "service_upsert": {
                    "id": 3,
                    "frontend_address": {"ip": "fd00::1", "port": 80},
                    "backend_addresses": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "port": 8080}],
                    "traffic_policy": "Local",
                },
            },
            ("id: 3, frontend: [fd00::1]:80, backends: [192.0.2.1:0,192.0.2.2:8080], "
            "traffic policy: Local"),
        ),
        ({"type": "SERVICE_UPSERTED", "service_upsert": {}}, "id: 0"),
        ({"type": "SERVICE_DELETED", "service_delete": {"id": 3}}, "id: 3"),
        ({"type": "POLICY_UPDATED", "service_delete": {"id": 3}}, "UNKNOWN"),
        ({"type": 99, "service_delete": {"id": 3}}, "UNKNOWN"),
        ({}, "UNKNOWN"),
    ],
)  # fmt: skip
def test_details_are_those_of_the_type(event: dict[str, Any], details: str) -> None:
    assert agent_event_details(ParseDict(event, AgentEvent()), FORMAT) == details


def test_numbers_without_a_name_are_shown() -> None:
    assert agent_event_type(ParseDict({"type": 99}, AgentEvent())) == "99"
    assert debug_event_type(ParseDict({"type": 999}, DebugEvent())) == "999"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"ID": 7}, "ID: 7"),
        ({"ID": 7, "namespace": "shop", "pod_name": "a\rb"}, "shop/a\\rb (ID: 7)"),
        ({"ID": 7, "pod_name": "a"}, "ID: 7"),
        ({"ID": 1, "labels": ["reserved:host"]}, "reserved:host (ID: 1)"),
        ({"ID": 1, "labels": ["reserved:host", "k8s:a=b"]}, "ID: 1"),
        ({"ID": 1, "labels": ["k8s:a=b"]}, "ID: 1"),
    ],
)
def test_the_source_has_the_best_name_it_can(source: dict[str, Any], text: str) -> None:
    assert debug_event_source(ParseDict({"source": source}, DebugEvent())) == text


def test_what_a_debug_event_lacks_is_said_so() -> None:
    event = DebugEvent()
    shown = (debug_event_source(event), debug_event_mark(event), debug_event_cpu(event))
    assert shown == ("N/A", "N/A", "N/A")
    assert event_time(GetDebugEventsResponse(), FORMAT) == "N/A"


@pytest.mark.parametrize("output", ["compact", "dict", "table"])
def test_no_text_of_an_event_can_steer_the_terminal(output: str) -> None:
    evil = "\x1b]0;x\x07\r\n\u202e"
    agent = {"type": "ENDPOINT_CREATED", "endpoint_update": {"namespace": evil, "pod_name": evil}}
    debug = {"source": {"namespace": evil, "pod_name": evil}, "message": evil}
    printer = make_printer(output, Look(node_name=True))
    shown = printer.agent_event(
        ParseDict({"agent_event": agent, "node_name": evil}, GetAgentEventsResponse())
    )
    shown += printer.end()
    printer = make_printer(output, Look(node_name=True))
    shown += printer.debug_event(
        ParseDict({"debug_event": debug, "node_name": evil}, GetDebugEventsResponse())
    )
    shown += printer.end()
    assert all(line.isprintable() for line in shown.splitlines())
    assert "^[" in shown
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(shown)
