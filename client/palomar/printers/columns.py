"""The columns of a flow as text: time, ends, identities, type, verdict, summary.

In: a Flow. Out: short texts, coloured after the palette, with control characters of remote origin
written out. The compact, dict and table printers only arrange these; each knows no field of a flow
itself. One `FlowColumns` belongs to one printer and one stream.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from palomar import event_types
from palomar.printers.color import PLAIN, Palette
from palomar.printers.drop_reasons import drop_text
from palomar.printers.escape import visible
from palomar.printers.time_format import TIME_FORMATS, UNKNOWN_TIME, time_formatter
from palomar_proto.flow import flow_pb2

_RESERVED_IDENTITIES = {
    0: "unknown",
    1: "host",
    2: "world",
    3: "unmanaged",
    4: "health",
    5: "init",
    6: "remote-node",
    7: "kube-apiserver",
    8: "ingress",
    9: "world-ipv4",
    10: "world-ipv6",
}
"""Cilium's identities that mean the same in every cluster."""

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
_VERDICTS = {value.number: value.name for value in flow_pb2.Verdict.DESCRIPTOR.values}
_DIRECTIONS = {value.number: value.name for value in flow_pb2.TrafficDirection.DESCRIPTOR.values}
_CAPTURES = {value.number: value.name for value in flow_pb2.DebugCapturePoint.DESCRIPTOR.values}
_L7_TYPES = {value.number: value.name.lower() for value in flow_pb2.L7FlowType.DESCRIPTOR.values}
_AUTH_TYPES = {value.number: value.name for value in flow_pb2.AuthType.DESCRIPTOR.values}

# How a policy verdict message puts the verdict of its flow.
_POLICY_VERDICTS = {
    flow_pb2.FORWARDED: "ALLOWED",
    flow_pb2.REDIRECTED: "ALLOWED",
    flow_pb2.DROPPED: "DENIED",
    flow_pb2.ERROR: "DENIED",
    flow_pb2.AUDIT: "AUDITED",
}

_TYPE_UNKNOWN = "UNKNOWN"
_SUBTYPE_MASK = 0xFF


@dataclass(frozen=True, slots=True)
class Look:
    """What a user may choose about the human formats.

    Attributes:
        time_format: One of `TIME_FORMATS`.
        node_name: Whether to name the node that saw the flow.
        translate: Whether to show names (pod, service, DNS) instead of addresses.
        palette: The colours.
    """

    time_format: str = TIME_FORMATS[0]
    node_name: bool = False
    translate: bool = True
    palette: Palette = PLAIN


class FlowColumns:
    """Turns flows into column texts, always the same way for one stream."""

    def __init__(self, look: Look) -> None:
        self._palette = look.palette
        self._translate = look.translate
        self.format_time = time_formatter(look.time_format)
        good, bad, notable = look.palette.good, look.palette.bad, look.palette.notable
        self._verdict_colors = {
            flow_pb2.FORWARDED: good,
            flow_pb2.REDIRECTED: good,
            flow_pb2.DROPPED: bad,
            flow_pb2.ERROR: bad,
            flow_pb2.AUDIT: notable,
            flow_pb2.TRACED: notable,
            flow_pb2.TRANSLATED: notable,
        }

    def time(self, flow: flow_pb2.Flow) -> str:
        """Format the flow's own time."""
        if not flow.HasField("time"):
            return UNKNOWN_TIME
        stamp = flow.time
        return self.format_time(stamp.seconds, stamp.nanos)

    def ends(self, flow: flow_pb2.Flow) -> tuple[str, str]:
        """Name source and destination: pod, service, DNS names or address, and the port.

        Without an IP header these are the hardware addresses, or nothing.
        """
        if not flow.HasField("IP"):
            if not flow.HasField("ethernet"):
                return "", ""
            ethernet = flow.ethernet
            return self._end(ethernet.source, 0), self._end(ethernet.destination, 0)
        ip = flow.IP
        source, destination = ip.source, ip.destination
        if self._translate:
            source = _name(flow.source, flow.source_service, flow.source_names) or source
            destination = (
                _name(flow.destination, flow.destination_service, flow.destination_names)
                or destination
            )
        source_port, destination_port = _ports(flow)
        return self._end(source, source_port), self._end(destination, destination_port)

    def identities(self, flow: flow_pb2.Flow) -> tuple[str, str]:
        """Show both security identities, by name where the number is reserved."""
        return self._identity(flow.source.identity), self._identity(flow.destination.identity)

    def type(self, flow: flow_pb2.Flow) -> str:
        """Say what kind of event the flow is, and where it was seen or why it was dropped."""
        if flow.HasField("l7"):
            return _l7_type(flow.l7)
        type_text = _TYPE_TEXTS.get(flow.event_type.type)
        return type_text(flow) if type_text else _TYPE_UNKNOWN

    def verdict(self, flow: flow_pb2.Flow) -> str:
        """Show what happened to the packet."""
        number = flow.verdict
        text = _named(_VERDICTS, number)
        if flow.event_type.type == event_types.POLICY_VERDICT:
            text = _POLICY_VERDICTS.get(number, text)
        color = self._verdict_colors.get(number, "")
        return f"{color}{text}{self._palette.end}" if color else text

    def summary(self, flow: flow_pb2.Flow) -> str:
        """Show the transport header in words, with trace id and authentication where present."""
        text = visible(flow.Summary)
        if flow.HasField("ip_trace_id") and flow.ip_trace_id.trace_id:
            text = f"IP Trace ID: {flow.ip_trace_id.trace_id}; {text}"
        auth = flow.auth_type
        if auth != flow_pb2.DISABLED:
            palette = self._palette
            color = palette.bad if auth == flow_pb2.TEST_ALWAYS_FAIL else palette.good
            text = f"{text}; Auth: {color}{_named(_AUTH_TYPES, auth)}{palette.end}"
        return text

    def _end(self, host: str, port: int) -> str:
        palette = self._palette
        host = visible(host)
        if not port:
            return f"{palette.host}{host}{palette.end}"
        if ":" in host:
            host = f"[{host}]"
        return f"{palette.host}{host}:{palette.port}{port}{palette.end}{palette.end}"

    def _identity(self, number: int) -> str:
        name = _RESERVED_IDENTITIES.get(number) or f"ID:{number}"
        return f"{self._palette.identity}({name}){self._palette.end}"


def _name(endpoint: flow_pb2.Endpoint, service: flow_pb2.Service, dns_names: Iterable[str]) -> str:
    """Find the best name of one end; empty if it has none."""
    pod = endpoint.pod_name
    if pod:
        namespace = endpoint.namespace
        return f"{namespace}/{pod}" if namespace else pod
    name = service.name
    if name:
        namespace = service.namespace
        return f"{namespace}/{name}" if namespace else name
    return ",".join(dns_names)


def _ports(flow: flow_pb2.Flow) -> tuple[int, int]:
    """Read the ports; 0 where the protocol has none."""
    layer4 = flow.l4
    protocol = layer4.WhichOneof("protocol")
    if protocol == "TCP":
        return layer4.TCP.source_port, layer4.TCP.destination_port
    if protocol == "UDP":
        return layer4.UDP.source_port, layer4.UDP.destination_port
    if protocol == "SCTP":
        return layer4.SCTP.source_port, layer4.SCTP.destination_port
    return 0, 0


def _l7_type(layer7: flow_pb2.Layer7) -> str:
    kind = _named(_L7_TYPES, layer7.type)
    record = layer7.WhichOneof("record") or "l7"
    if record == "dns":
        kind = f"{kind} {visible(layer7.dns.observation_source)}"
    return f"{record}-{kind}"


def _trace_type(flow: flow_pb2.Flow) -> str:
    point = flow.event_type.sub_type & _SUBTYPE_MASK
    points = event_types.OBSERVATION_POINTS
    return points[point] if point < len(points) else str(point)


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
    event_types.TRACE: _trace_type,
    event_types.DROP: _drop_type,
    event_types.POLICY_VERDICT: _policy_verdict_type,
    event_types.CAPTURE: _capture_type,
    event_types.TRACE_SOCK: _trace_sock_type,
}


def _named(names: Mapping[Any, str], number: int) -> str:
    return names.get(number) or str(number)
