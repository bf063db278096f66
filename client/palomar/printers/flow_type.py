"""The type column: what kind of event a flow is, and where it was seen or why it was dropped.

In: a Flow. Out: Hubble's words for it, with control characters of remote origin written out.
"""

from collections.abc import Mapping
from typing import Any

from palomar import event_types
from palomar.printers.drop_reasons import drop_text
from palomar.printers.escape import visible
from palomar_proto.flow import flow_pb2

_POLICY_MATCHES = ("none", "L3-Only", "L3-L4", "L4-Only", "all", "L3-Proto", "Proto-Only")
"""What part of a policy matched, by policy_match_type."""

_TRANSLATION_POINTS = {
    flow_pb2.SOCK_XLATE_POINT_UNKNOWN: "SOCK_XLATE_POINT_UNKNOWN",
    flow_pb2.SOCK_XLATE_POINT_PRE_DIRECTION_FWD: "pre-xlate-fwd",
    flow_pb2.SOCK_XLATE_POINT_POST_DIRECTION_FWD: "post-xlate-fwd",
    flow_pb2.SOCK_XLATE_POINT_PRE_DIRECTION_REV: "pre-xlate-rev",
    flow_pb2.SOCK_XLATE_POINT_POST_DIRECTION_REV: "post-xlate-rev",
}

# Proto3 enumerations are open: a number without a name is shown as the number.
_DIRECTIONS = {value.number: value.name for value in flow_pb2.TrafficDirection.DESCRIPTOR.values}
_CAPTURES = {value.number: value.name for value in flow_pb2.DebugCapturePoint.DESCRIPTOR.values}
_L7_TYPES = {value.number: value.name.lower() for value in flow_pb2.L7FlowType.DESCRIPTOR.values}

_TYPE_UNKNOWN = "UNKNOWN"
_SUBTYPE_MASK = 0xFF


def flow_type(flow: flow_pb2.Flow, event: flow_pb2.CiliumEventType) -> str:
    """Say what kind of event a flow is.

    Args:
        flow: The flow.
        event: Its event type.
    """
    if flow.HasField("l7"):
        return _l7_type(flow.l7)
    kind = event.type
    if kind == event_types.TRACE:  # most flows
        point = event.sub_type & _SUBTYPE_MASK
        points = event_types.OBSERVATION_POINTS
        return points[point] if point < len(points) else str(point)
    type_text = _TYPE_TEXTS.get(kind)
    return type_text(flow) if type_text else _TYPE_UNKNOWN


def _l7_type(layer7: flow_pb2.Layer7) -> str:
    kind = _named(_L7_TYPES, layer7.type)
    record = layer7.WhichOneof("record") or "l7"
    if record == "dns":
        kind = f"{kind} {visible(layer7.dns.observation_source)}"
    return f"{record}-{kind}"


def _drop_type(flow: flow_pb2.Flow) -> str:
    return drop_text(flow.event_type.sub_type, flow.drop_reason_desc)


def _policy_verdict_type(flow: flow_pb2.Flow) -> str:
    number = flow.policy_match_type
    match = _POLICY_MATCHES[number] if number < len(_POLICY_MATCHES) else "unknown"
    return f"policy-verdict:{match} {_named(_DIRECTIONS, flow.traffic_direction)}"


def _capture_type(flow: flow_pb2.Flow) -> str:
    return _named(_CAPTURES, flow.debug_capture_point)


def _trace_sock_type(flow: flow_pb2.Flow) -> str:
    return _named(_TRANSLATION_POINTS, flow.sock_xlate_point)


_TYPE_TEXTS = {
    event_types.DROP: _drop_type,
    event_types.POLICY_VERDICT: _policy_verdict_type,
    event_types.CAPTURE: _capture_type,
    event_types.TRACE_SOCK: _trace_sock_type,
}


def _named(names: Mapping[Any, str], number: int) -> str:
    return names.get(number) or str(number)
