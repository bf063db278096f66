"""Cases of getflows.jsonl: events in the ring, a request, and the responses to it.

Hubble's newest event cannot be read until the next one is written. Palomar's can, so it gets each
event when the case writes the next: what a request sees is then the same.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server.errors import RequestError
from palomar_server.observer import Observer
from palomar_server.table import FLOW, Kind
from palomar_server.testing import Core
from palomar_server.waker import Waker
from tests.conformance.corpus import Case, Comparison, Run

if TYPE_CHECKING:
    from pathlib import Path

_EVENTS: dict[str, tuple[Kind, Any]] = {
    "flow": (Kind.FLOW, flow_pb2.Flow),
    "lost_events": (Kind.LOST, flow_pb2.LostEvent),
    "agent_event": (Kind.AGENT, flow_pb2.AgentEvent),
    "debug_event": (Kind.DEBUG, flow_pb2.DebugEvent),
}
_METHODS: dict[str, tuple[Any, Any]] = {
    "GetAgentEvents": (
        observer_pb2.GetAgentEventsRequest,
        observer_pb2.GetAgentEventsResponse,
    ),
    "GetDebugEvents": (
        observer_pb2.GetDebugEventsRequest,
        observer_pb2.GetDebugEventsResponse,
    ),
}
UNCOVERED = "those of other methods than GetAgentEvents and GetDebugEvents"
# The node that wrote an event is not told by the cases.
_NOT_COMPARED = "node_name"


def covers(case: Case) -> bool:
    """Whether the method is served from events that a test can write."""
    return case["rpc"] in _METHODS and "later_events" not in case


def prepare(_: Path) -> Run:
    """Nothing is shared."""
    return run


def run(case: Case) -> Comparison:
    """Run one case."""
    request_type, response_type = _METHODS[case["rpc"]]
    request = json_format.ParseDict(case["request"], request_type())
    core = Core(capacity=case["capacity"])
    for event in case["events"][:-1]:
        _write(core, event)
    expected = [
        _told(json_format.ParseDict(case["events"][one["event"]], response_type()))
        for one in case["responses"]
    ]
    actual, refused = asyncio.run(_responses(core, case["rpc"], request))
    return Comparison(
        {"responses": expected, "refused": case["error"] is not None},
        {"responses": [_told(response_type.FromString(one)) for one in actual], "refused": refused},
    )


def _write(core: Core, event: dict[str, Any]) -> None:
    (name,) = event.keys() & _EVENTS.keys()
    kind, message = _EVENTS[name]
    time = Timestamp()
    time.FromJsonString(event["time"])
    rows = np.zeros(1, FLOW)
    rows["kind"], rows["time_ns"], rows["message"] = kind, time.ToNanoseconds(), 1
    content = json_format.ParseDict(event[name], message()).SerializeToString()
    core.ring.append(rows, [content])


async def _responses(core: Core, rpc: str, request: Any) -> tuple[list[bytes], bool]:
    observer = Observer(
        core.ring, core.encoder, core.surroundings, Waker(asyncio.get_running_loop())
    )
    serve = observer.get_agent_events if rpc == "GetAgentEvents" else observer.get_debug_events
    try:
        return [response async for response in serve(request)], False
    except RequestError:
        return [], True


def _told(response: Any) -> dict[str, Any]:
    response.ClearField(_NOT_COMPARED)
    told: dict[str, Any] = json_format.MessageToDict(response, preserving_proto_field_name=True)
    return told
