"""Cases of decode.jsonl: a payload or a loss in, the response's event out, byte for byte encoded.

Each goes the way of every event: decoder or loss notice, ring, encoder, and is parsed again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from palomar_bpf.batch import PayloadBatch
from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server.decode.decoder import Decoder
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.options import DecodeOptions, Redaction
from palomar_server.loss_notice import lost_event
from palomar_server.table import FLOW, Kind
from palomar_server.testing import START_NS, Core
from tests.conformance.context import context_of
from tests.conformance.corpus import Case, Comparison, Run

if TYPE_CHECKING:
    from pathlib import Path

EVENTS: dict[str, Any] = {
    "flow": flow_pb2.Flow,
    "agent_event": flow_pb2.AgentEvent,
    "debug_event": flow_pb2.DebugEvent,
    "lost_event": flow_pb2.LostEvent,
}
"""What a case may expect, besides a rejection."""
_OWN_STREAMS: dict[Kind, Any] = {
    Kind.AGENT: observer_pb2.GetAgentEventsResponse,
    Kind.DEBUG: observer_pb2.GetDebugEventsResponse,
}
_NODE_NAME = observer_pb2.GetFlowsResponse.NODE_NAME_FIELD_NUMBER
NOT_COMPARED = ("time", "uuid", "node_name", "node_labels", "emitter")
"""Fields of a flow that the cases leave out."""

# How Hubble's parser turns payloads away; whatever else is wrong it calls an error.
_REJECTIONS = {Malformed.EMPTY: "empty_data", Malformed.UNKNOWN_TYPE: "invalid_type"}


def prepare(folder: Path) -> Run:
    """Read the state that all cases share, decode-context.json."""
    core = Core()
    core.surroundings.apply(context_of(json.loads((folder / "decode-context.json").read_text())))
    return lambda case: run(case, core)


def run(case: Case, core: Core) -> Comparison:
    """Run one case."""
    if case["kind"] == "lost":
        return Comparison(normal([case["expect"]]), normal([_lost(case, core)]))
    decoder = Decoder(core.surroundings, options_of(case.get("options", {})))
    steps = case.get("steps", [case])
    return Comparison(
        normal([step["expect"] for step in steps]),
        normal([_decoded(decoder, core, step) for step in steps]),
    )


def options_of(options: dict[str, Any]) -> DecodeOptions:
    """The decoder's options as cases write them."""
    redact = options.get("redact")
    return DecodeOptions(
        skip_unknown_cgroup_ids=options.get("skip_unknown_cgroup_ids", False),
        ip_tracing_option_type=options.get("ip_tracing_option_type", 0),
        redact=None
        if redact is None
        else Redaction(
            http_query=redact.get("http_query", False),
            http_user_info=redact.get("http_user_info", False),
            kafka_api_key=redact.get("kafka_api_key", False),
            allow_headers=frozenset(map(str.lower, redact.get("allow_headers") or ())),
            deny_headers=frozenset(map(str.lower, redact.get("deny_headers") or ())),
        ),
    )


def batch_of(step: Case) -> PayloadBatch:
    """The payload of a case, alone."""
    data = bytes.fromhex(step["data"])
    return PayloadBatch(
        np.frombuffer(data, np.uint8),
        np.zeros(1, np.int64),
        np.array([len(data)], np.int64),
        np.array([step.get("cpu", 0)], np.uint16),
        START_NS,
    )


def _decoded(decoder: Decoder, core: Core, step: Case) -> dict[str, Any]:
    """What a payload becomes: an event by its name, or a rejection."""
    decoded = decoder.decode(batch_of(step))
    if not len(decoded.rows):
        return {"reject": {"kind": _rejection(list(decoded.malformed))}}
    if decoded.malformed or len(decoded.rows) != 1:
        raise AssertionError(f"one payload, and {decoded} of it")
    sequence = core.ring.append(decoded.rows, decoded.messages)
    return response_event(core, sequence)


def _rejection(counted: list[tuple[int, Malformed]]) -> str:
    # What users chose not to see is nobody's fault.
    return _REJECTIONS.get(counted[0][1], "error") if counted else "skipped"


def _lost(case: Case, core: Core) -> dict[str, Any]:
    lost = case["lost"]
    notice = lost_event(
        lost["source"],
        lost["num_events_lost"],
        cpu=lost.get("cpu"),
        first_ns=_time_ns(lost.get("first")),
        last_ns=_time_ns(lost.get("last")),
    )
    rows = np.zeros(1, FLOW)
    rows["kind"], rows["time_ns"], rows["message"] = Kind.LOST, START_NS, 1
    return response_event(core, core.ring.append(rows, [notice.SerializeToString()]))


def _time_ns(text: str | None) -> int:
    stamp = Timestamp()
    if text is not None:
        stamp.FromJsonString(text)
    return stamp.ToNanoseconds()


def response_event(core: Core, sequence: int) -> dict[str, Any]:
    """The event in the ring as a stream would get it, by its name in cases."""
    ((_, rows),) = core.ring.spans(sequence, sequence + 1)
    kind = Kind(int(rows["kind"][0]))
    response: Any
    if kind in _OWN_STREAMS:
        encoded = core.encoder.event_response(core.ring.message(sequence), START_NS)
        response = _OWN_STREAMS[kind].FromString(encoded)
    else:
        (encoded,) = core.encoder.responses().encode_batch(
            rows.copy(), [sequence], {sequence: core.ring.message(sequence)}
        )
        response = observer_pb2.GetFlowsResponse.FromString(encoded)
    # Besides the event a response has the node's name and the time.
    (name,) = (field.name for field, _ in response.ListFields() if field.number < _NODE_NAME)
    event = json_format.MessageToDict(getattr(response, name), preserving_proto_field_name=True)
    return {"lost_event" if name == "lost_events" else name: event}


def normal(steps: list[dict[str, Any]]) -> object:
    """Expectations in the one way to write them, without what is not compared."""
    told = [_normal(step) for step in steps]
    return told[0] if len(told) == 1 else told


def _normal(step: dict[str, Any]) -> dict[str, Any]:
    ((name, content),) = step.items()
    if name == "reject":
        return {"reject": {"kind": content["kind"]}}
    message = json_format.ParseDict(content, EVENTS[name]())
    if name == "flow":
        for field in NOT_COMPARED:
            message.ClearField(field)
    return {name: json_format.MessageToDict(message, preserving_proto_field_name=True)}
