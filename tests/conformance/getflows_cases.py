"""Cases of getflows.jsonl: events in the ring, a request, and the responses to it.

Hubble's newest event cannot be read until the next one is written. Palomar's can, so it gets each
event when the case writes the next: what a request sees is then the same. What remains of that and
of other defects that palomar does not copy is undone in the expected responses: see `Defect`. For
each there has to be a rule in docs/deliberate-differences.yaml.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import TypeAdapter, ValidationError

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server.errors import InvalidRequest, RequestError, Unsupported
from palomar_server.flow_rate import flows_rate
from palomar_server.hooks import FlowBatch
from palomar_server.observer import Observer
from palomar_server.protobuf_bytes import field as wire_field
from palomar_server.ring import Ring
from palomar_server.seen_namespaces import SeenNamespaces
from palomar_server.setting_types import RingCapacity
from palomar_server.table import Kind
from palomar_server.testing import FakeClock
from palomar_server.waker import Waker
from tests.conformance.corpus import Case, Comparison, Run
from tests.conformance.flow_rows import FlowRows, to_rows
from tests.conformance.getflows_defects import (
    Defect,
    followed,
    is_short_ring_follower,
    undo_endless,
    undo_full_ring_notice,
    undo_masked_responses,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from google.protobuf.message import Message

_EVENTS: dict[str, Any] = {
    "flow": flow_pb2.Flow,
    "lost_events": flow_pb2.LostEvent,
    "agent_event": flow_pb2.AgentEvent,
    "debug_event": flow_pb2.DebugEvent,
}
_STREAMS: dict[str, tuple[Any, Any]] = {
    "GetFlows": (observer_pb2.GetFlowsRequest, observer_pb2.GetFlowsResponse),
    "GetAgentEvents": (observer_pb2.GetAgentEventsRequest, observer_pb2.GetAgentEventsResponse),
    "GetDebugEvents": (observer_pb2.GetDebugEventsRequest, observer_pb2.GetDebugEventsResponse),
}
_WANTED: dict[str, Any] = {
    "GetFlows": flow_pb2.Flow,
    "GetAgentEvents": flow_pb2.AgentEvent,
    "GetDebugEvents": flow_pb2.DebugEvent,
}
_NODE_NAME = "node-1"
"""Without a cluster, as that of the cases."""
_RATE_TOLERANCE = 1e-9
_ARRIVAL_S = 5.0
"""How long responses that are expected may take."""
_QUIET_S = 0.02
"""How long to wait for any that are not."""
_APART_S = 0.001
"""How long after each other later events come, so that a follower of a small ring gets them all."""
_LONG_AGO = "1970-01-02T00:00:00Z"
"""The time where a case tells none: before all of its events, so that no `until` is over yet."""
_ERRORS: dict[str, type[RequestError]] = {
    "InvalidArgument": InvalidRequest,
    "Unimplemented": Unsupported,
    # Go's way to say that it was not thought about: filters, masks and times.
    "Unknown": InvalidRequest,
}


@dataclass(slots=True)
class Node:
    """A server on the events of a case."""

    case: Case
    found: FlowRows
    ring: Ring
    observer: Observer
    waker: Waker
    namespaces: SeenNamespaces
    expected_later: int = field(default=0)

    def write(self, start: int, stop: int) -> None:
        """Write some of the events, one by one."""
        for index in range(start, stop):
            row = self.found.rows[index : index + 1].copy()
            row["message"] = 1
            message = _event(self.events[index])
            self.ring.append(row, [message.SerializeToString()])
            if row["kind"][0] == Kind.FLOW:
                batch = FlowBatch(row, self.found.encoder, [message.SerializeToString()])
                self.namespaces.on_decoded_flow(batch)
            self.waker.notify()

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events of the case."""
        return [*self.case["events"], *self.case.get("later_events", ())]


def prepare(_: Path) -> Run:
    """Nothing is shared."""
    return run


def run(case: Case) -> Comparison:
    """Run one case."""
    if case["rpc"] == "capacity":
        return _run_capacity(case)
    return asyncio.run(_run(case))


def _run_capacity(case: Case) -> Comparison:
    try:
        TypeAdapter(RingCapacity).validate_python(case["capacity"])
    except ValidationError:
        return Comparison(_told_validity(case), "refused")
    return Comparison(_told_validity(case), "accepted")


def _told_validity(case: Case) -> str:
    return "accepted" if case["error"] is None else "refused"


async def _run(case: Case) -> Comparison:
    events = [*case["events"], *case.get("later_events", ())]
    found = to_rows([_event(one) for one in events], node_name=_NODE_NAME)
    for row, event in zip(found.rows, events, strict=True):
        row["time_ns"] = _time_ns(event["time"])
    ring, waker = Ring(case["capacity"]), Waker(asyncio.get_running_loop())
    clock = FakeClock(_time_ns(case.get("at", _LONG_AGO)))
    namespaces = SeenNamespaces(found.surroundings.endpoints, clock_ns=clock)
    observer = Observer(
        ring, found.encoder, found.surroundings, waker, namespaces=namespaces, clock_ns=clock
    )
    node = Node(case, found, ring, observer, waker, namespaces)
    written = len(case["events"])
    match case["rpc"]:
        case "ServerStatus":
            node.write(0, written)
            status = observer.server_status(observer_pb2.ServerStatusRequest())
            for name in ("uptime_ns", "version", "flows_rate"):
                status.ClearField(name)
            return Comparison(case["response"], _told(status))
        case "GetNamespaces":
            node.write(0, written)
            response = observer.get_namespaces(observer_pb2.GetNamespacesRequest())
            return Comparison(case["response"], _told(response))
        case "GetNodes":
            return Comparison(_ERRORS[case["error"]["code"]].__name__, _refusal(observer))
        case "flows_rate":
            node.write(0, written - 1)
            rate = flows_rate(ring, clock())
            return _compared_rate(float(case["flows_rate"]), rate)
    return await _run_stream(node)


def _compared_rate(expected: float, actual: float) -> Comparison:
    close = math.isclose(expected, actual, rel_tol=0, abs_tol=_RATE_TOLERANCE)
    return Comparison(str(expected), str(expected if close else actual))


def _refusal(observer: Observer) -> str:
    try:
        observer.get_nodes(observer_pb2.GetNodesRequest())
    except RequestError as error:
        return type(error).__name__
    return "none"


async def _run_stream(node: Node) -> Comparison:
    case = node.case
    request_type, response_type = _STREAMS[case["rpc"]]
    request = _request(case["request"], request_type)
    serve: Any = {
        "GetFlows": node.observer.get_flows,
        "GetAgentEvents": node.observer.get_agent_events,
        "GetDebugEvents": node.observer.get_debug_events,
    }[case["rpc"]]
    # One behind: see the module.
    written = max(0, len(case["events"]) - 1)
    node.write(0, written)
    expected: dict[str, Any] = {
        "responses": _expected(node, response_type),
        "error": None if case["error"] is None else _ERRORS[case["error"]["code"]].__name__,
        "field": _field_of(case["error"]),
    }
    client = _Client(serve(request), response_type)
    try:
        if request.follow and case["error"] is None:
            await _follow(node, client, written, expected)
        else:
            await client.read_to_the_end()
    finally:
        await client.close()
    actual: dict[str, Any] = {
        "responses": [_told(one) for one in client.responses],
        "error": client.error and type(client.error).__name__,
        "field": _field_of_refusal(client.error),
    }
    if request.follow and case["error"] is None:
        expected["before later"] = case.get("responses_before_later", len(case["responses"]))
        expected["ended"] = case.get("ended_by_server", False)
        actual["before later"] = client.before_later
        actual["ended"] = client.ended
    return _without_defects(node, request, expected, actual)


async def _follow(node: Node, client: _Client, written: int, expected: dict[str, Any]) -> None:
    case = node.case
    before = case.get("responses_before_later", len(expected["responses"]))
    client.start()
    await client.quiet(before)
    client.before_later = len(client.responses)
    if later := len(case.get("later_events", ())):
        for index in range(written, len(case["events"]) + later - 1):
            node.write(index, index + 1)
            await asyncio.sleep(_APART_S)
        await client.quiet(len(expected["responses"]))


class _Client:
    """Collects the responses of a stream."""

    def __init__(self, stream: AsyncGenerator[list[bytes], None], response_type: Any) -> None:
        self._stream = stream
        self._response_type = response_type
        self._task: asyncio.Task[None] | None = None
        self.responses: list[Any] = []
        self.error: RequestError | None = None
        self.ended = False
        self.before_later = 0

    async def read_to_the_end(self) -> None:
        """Read until the server ends the stream."""
        try:
            async with aclosing(self._stream):
                async for responses in self._stream:
                    self.responses += map(self._response_type.FromString, responses)
        except RequestError as error:
            self.error = error
        self.ended = True

    def start(self) -> None:
        """Read in a task."""
        self._task = asyncio.get_running_loop().create_task(self.read_to_the_end())

    async def quiet(self, count: int) -> None:
        """Return once so many responses are there, and some time for more of them is over."""
        end = asyncio.get_running_loop().time() + _ARRIVAL_S
        while len(self.responses) < count and not self.ended:
            if asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(0.001)
        await asyncio.sleep(_QUIET_S)

    async def close(self) -> None:
        """Cancel the reading, if it is still under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.aclose()


def _without_defects(
    node: Node, request: Any, expected: dict[str, Any], actual: dict[str, Any]
) -> Comparison:
    """Undo the defects of Hubble in what is expected, and say which there were."""
    case = node.case
    defects = undo_endless(case, expected)
    if defects and "before later" in expected:
        expected["before later"] = 0
    if expected != actual:
        defects += undo_full_ring_notice(case, expected)
    if expected != actual and is_short_ring_follower(case, expected):
        _, response_type = _STREAMS[case["rpc"]]
        written = node.events[:-1]
        got, ended = followed(
            [_event(one) for one in written],
            [_time_ns(one["time"]) for one in written],
            _WANTED[case["rpc"]],
            request,
        )
        told = [_response(node.events[index], event, response_type) for index, event in got]
        expected |= {"responses": told, "ended": ended}
        defects.append(Defect.SHORT_RING_FOLLOWER)
    flows = [one["flow"] for one in node.events if "flow" in one]
    origins = {(one.get("time", ""), one.get("node_name", "")) for one in flows}
    defects += undo_masked_responses(case, expected, actual, origins)
    return Comparison(expected, actual, tuple(defects))


def _response(content: dict[str, Any], event: Message, response_type: Any) -> dict[str, Any]:
    """The response with an event of the case, or what a mask leaves of it."""
    response = json_format.ParseDict(content, response_type())
    (name,) = content.keys() & _EVENTS.keys()
    getattr(response, name).CopyFrom(event)
    told = _told(response)
    if name == "flow":
        told["node_name"] = content["flow"].get("node_name", "")
    return told


def _expected(node: Node, response_type: Any) -> list[dict[str, Any]]:
    told = []
    for one in node.case["responses"]:
        content = node.events[one["event"]] if "event" in one else one.get("response", one)
        told.append(_told(json_format.ParseDict(content, response_type())))
    for one, source in zip(told, node.case["responses"], strict=True):
        event = node.events[source["event"]] if "event" in source else {}
        if "flow" in event:
            one.setdefault("node_name", event["flow"].get("node_name", ""))
    return told


def _told(message: Message) -> dict[str, Any]:
    """A message as JSON, without what the cases do not tell: time and node of what is no flow."""
    told: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    if isinstance(message, observer_pb2.GetFlowsResponse) and not message.HasField("flow"):
        told.pop("time", None)
        for name in ("first", "last"):
            told.get("lost_events", {}).pop(name, None)
    if not isinstance(message, observer_pb2.GetFlowsResponse) or not message.HasField("flow"):
        told.pop("node_name", None)
    return told


def _event(event: dict[str, Any]) -> Any:
    (name,) = event.keys() & _EVENTS.keys()
    return json_format.ParseDict(event[name], _EVENTS[name]())


def _time_ns(text: str) -> int:
    stamp = Timestamp()
    stamp.FromJsonString(text)
    return stamp.ToNanoseconds()


def _request(content: dict[str, Any], request_type: Any) -> Any:
    """The request; some cases have what JSON has no form for, or what the API had once."""
    content = dict(content)
    stamps = {name: content.pop(name) for name in ("since", "until") if _is_raw(content.get(name))}
    mask = content.pop("field_mask", None)
    mask_before = content.pop("experimental", {}).get("field_mask")
    request = json_format.ParseDict(content, request_type())
    for name, stamp in stamps.items():
        numbers = {part: int(number) for part, number in stamp.items()}
        getattr(request, name).CopyFrom(Timestamp(**numbers))
    if mask is not None:
        request.field_mask.CopyFrom(_mask(mask))
    if mask_before is not None:
        request.experimental.MergeFromString(wire_field(1, _mask(mask_before).SerializeToString()))
    return request


def _mask(content: dict[str, list[str]] | str) -> FieldMask:
    """A mask as cases write it, or as JSON has it."""
    if isinstance(content, str):
        return json_format.ParseDict(content, FieldMask())  # type: ignore[arg-type]  # a text is its JSON
    return FieldMask(paths=content.get("paths", ()))


def _is_raw(stamp: object) -> bool:
    return isinstance(stamp, dict)


def _field_of(error: dict[str, str] | None) -> str:
    """What of the request Hubble's message is about."""
    if error is None:
        return "none"
    starts = {"invalid fieldmask": "field_mask", "proto:": "time", "first cannot": "first"}
    message = error["message"]
    return next((field for start, field in starts.items() if message.startswith(start)), "filter")


def _field_of_refusal(error: RequestError | None) -> str:
    """The same of palomar's."""
    if error is None:
        return "none"
    name = str(error).partition(":")[0]
    if name in ("since", "until"):
        return "time"
    return name if name in ("field_mask", "first") else "filter"
