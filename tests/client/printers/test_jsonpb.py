import json

import pytest

from palomar.printers import make_printer
from palomar.printers.field_mask import HUBBLE_PATHS
from palomar.printers.jsonpb import JsonPrinter, LegacyJsonPrinter
from palomar.printers.look import Look
from palomar.testing import make_response
from palomar_proto.flow.flow_pb2 import AGENT_STARTED, AgentEvent, DebugEvent
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsResponse,
    GetDebugEventsResponse,
    GetFlowsResponse,
)


def test_every_kind_of_response_is_a_line(
    loss: GetFlowsResponse, nodes_down: GetFlowsResponse
) -> None:
    printer = JsonPrinter(Look())
    lines = printer.flow(make_response()), printer.loss(loss), printer.node_status(nodes_down)
    assert [next(iter(json.loads(line))) for line in lines] == [
        "flow",
        "lost_events",
        "node_status",
    ]
    assert all(line.endswith("}\n") and line.count("\n") == 1 for line in lines)


def test_names_are_those_of_the_proto_files() -> None:
    flow = json.loads(JsonPrinter(Look()).flow(make_response()))["flow"]
    assert {"IP", "Summary", "node_name", "event_type"} <= flow.keys()
    assert flow["time"] == "2024-03-05T10:20:30.123456789Z"


def test_legacy_form_is_the_flow_alone(
    loss: GetFlowsResponse, nodes_down: GetFlowsResponse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBBLE_COMPAT", "other,Legacy-JSON-Output")
    printer = make_printer("json")
    assert "IP" in json.loads(printer.flow(make_response()))
    assert json.loads(printer.loss(loss))["num_events_lost"] == "7"
    assert printer.node_status(nodes_down) == ""
    assert isinstance(make_printer("jsonpb"), JsonPrinter)


def test_legacy_form_reads_all_fields_unless_hubble_would_not() -> None:
    ours, strict = LegacyJsonPrinter(Look()), LegacyJsonPrinter(Look(strict=True))
    assert (ours.field_paths(), ours.shows_all_fields) == ([], True)
    assert (strict.field_paths(), strict.shows_all_fields) == (list(HUBBLE_PATHS), False)


def test_legacy_events_are_without_their_response() -> None:
    printer = LegacyJsonPrinter(Look())
    agent = GetAgentEventsResponse(agent_event=AgentEvent(type=AGENT_STARTED))
    debug = GetDebugEventsResponse(debug_event=DebugEvent(message="x"))
    assert printer.agent_event(agent) == '{"type":"AGENT_STARTED"}\n'
    assert printer.debug_event(debug) == '{"message":"x"}\n'
