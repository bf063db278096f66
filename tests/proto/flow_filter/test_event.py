"""What filters look at."""

from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.event import Event, on_events, on_flows

OTHERS: tuple[Event, ...] = (flow_pb2.AgentEvent(), flow_pb2.DebugEvent(), flow_pb2.LostEvent())


def test_most_fields_match_flows_only() -> None:
    field = on_flows("parsed", lambda flow: not flow.uuid)
    assert field.parsed == "parsed"
    assert field.matches(flow_pb2.Flow())
    assert not field.matches(flow_pb2.Flow(uuid="x"))
    assert not any(map(field.matches, OTHERS))


def test_for_some_another_event_is_as_good_as_an_empty_flow() -> None:
    field = on_events("parsed", lambda flow: not flow.uuid)
    assert field.matches(flow_pb2.Flow())
    assert not field.matches(flow_pb2.Flow(uuid="x"))
    assert all(map(field.matches, OTHERS))
