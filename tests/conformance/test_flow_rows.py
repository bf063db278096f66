from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings

from palomar_proto.flow import flow_pb2
from palomar_server.table import Kind
from tests.conformance.flow_rows import FILTERED, to_rows
from tests.server.filters.random_events import Events, events


def forwarded(**fields: Any) -> flow_pb2.Flow:
    """A flow as a row gives it back."""
    flow = json_format.ParseDict(
        {
            "verdict": "FORWARDED",
            "Type": "L3_L4",
            "IP": {"source": "10.0.0.1", "destination": "fd00::1", "ipVersion": "IPv4"},
            "l4": {"TCP": {"source_port": 1, "destination_port": 80, "flags": {"SYN": True}}},
            "source": {"ID": 1, "identity": 5, "labels": ["k8s:a=b"], "pod_name": "web"},
            "destination": {"identity": 2, "labels": ["reserved:world"]},
            "event_type": {"type": 4},
            "source_names": ["a.org"],
            "Summary": "TCP Flags: SYN",
        },
        flow_pb2.Flow(),
    )
    flow.MergeFrom(flow_pb2.Flow(**fields))
    return flow


def test_a_flow_that_columns_hold_needs_no_message() -> None:
    made = to_rows([forwarded()])
    assert (made.in_columns, made.messages, made.left_out) == ([0], [], [])
    assert made.view().flow(0).l4 == forwarded().l4


def test_a_flow_that_columns_do_not_hold_gets_its_message() -> None:
    http, unusual, elsewhere = (
        forwarded(l7={"http": {"method": "GET"}}),
        forwarded(Summary="something else"),
        forwarded(node_name="far"),
    )
    flows = [http, unusual, elsewhere]
    made = to_rows(flows)
    assert made.in_columns == []
    assert [made.view().content(i) for i in range(3)] == [one.SerializeToString() for one in flows]
    assert to_rows(flows, compared=FILTERED).in_columns == [1]
    assert to_rows(flows, node_name="far").in_columns == [2]


def test_a_number_that_no_column_holds_is_reported() -> None:
    made = to_rows([forwarded(event_type={"sub_type": 300}), forwarded()])
    assert made.left_out == [0]
    assert made.in_columns == [1]


def test_other_events_keep_their_kind_and_content() -> None:
    others: list[Any] = [
        flow_pb2.AgentEvent(type=flow_pb2.AGENT_STARTED),
        flow_pb2.DebugEvent(type=flow_pb2.DBG_DECAP),
        flow_pb2.LostEvent(num_events_lost=3),
    ]
    made = to_rows(others)
    assert made.rows["kind"].tolist() == [Kind.AGENT, Kind.DEBUG, Kind.LOST]
    assert made.rows["event_type"].tolist() == [130, 2, 0]
    assert made.rows["event_subtype"].tolist() == [2, flow_pb2.DBG_DECAP, 0]
    assert made.messages == [one.SerializeToString() for one in others]


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(events())
def test_every_flow_is_given_back(some: Events) -> None:
    given_events = [some.event(index) for index in range(len(some.rows))]
    for event in given_events:
        if isinstance(event, flow_pb2.Flow):
            event.ClearField("emitter")
    made = to_rows(given_events, node_name="default/node-1", node_labels=("zone=a", "gpu=true"))
    for index, event in enumerate(given_events):
        if not isinstance(event, flow_pb2.Flow):
            continue
        back = made.view().flow(index)
        for name in ("emitter", "uuid"):
            back.ClearField(name)
            event.ClearField(name)
        assert back == event
