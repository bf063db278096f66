"""The columns of a flow as text: time, ends, identities, type, verdict, summary.

In: a Flow. Out: short texts, coloured after the palette, with control characters of remote origin
written out. The human printers only arrange these; each knows no field of a flow itself. One
`FlowColumns` belongs to one printer and one stream.
"""

from palomar.printers.escape import visible
from palomar.printers.flow_type import flow_type
from palomar.printers.look import Look
from palomar.printers.time_format import UNKNOWN_TIME, time_formatter
from palomar.printers.verdict import VerdictColumn
from palomar.reserved_identities import RESERVED_IDENTITIES
from palomar_proto.flow import flow_pb2

_IDENTITY_NAMES = {0: "unknown"} | {number: name for name, number in RESERVED_IDENTITIES.items()}

# Proto3 enumerations are open: a number without a name is shown as the number.
_AUTH_TYPES = {value.number: value.name for value in flow_pb2.AuthType.DESCRIPTOR.values}

_REMEMBERED_MAX = 4096
"""Identities and hosts whose text is kept, after which they are forgotten."""


class FlowColumns:
    """Turns flows into column texts, always the same way for one stream."""

    def __init__(self, look: Look) -> None:
        palette = look.palette
        self._palette = palette
        self._host_start, self._host_end = palette.host, palette.end
        self._port_start, self._port_end = f":{palette.port}", palette.end * 2
        self._translate = look.translate
        self._strict = look.strict
        self._verdict = VerdictColumn(look)
        self._identity_texts: dict[int, str] = {}
        self._hosts: dict[str, str] = {}
        self.format_time = time_formatter(look.time_format)

    def time(self, flow: flow_pb2.Flow) -> str:
        """Format the flow's own time."""
        stamp = flow.time
        seconds = stamp.seconds
        if not seconds and not flow.HasField("time"):
            return UNKNOWN_TIME
        return self.format_time(seconds, stamp.nanos)

    def ends(self, flow: flow_pb2.Flow) -> tuple[str, str]:
        """Name source and destination: pod, service, DNS names or address, and the port.

        Without an IP header these are the hardware addresses, or nothing.
        """
        return self._ends(flow, flow.source, flow.destination)

    def identities(self, flow: flow_pb2.Flow) -> tuple[str, str]:
        """Show both security identities, by name where the number is reserved."""
        return self._identity(flow.source.identity), self._identity(flow.destination.identity)

    def parties(self, flow: flow_pb2.Flow) -> tuple[str, str]:
        """Show both ends, each with its identity behind it."""
        source, destination = flow.source, flow.destination
        left, right = self._ends(flow, source, destination)
        texts = self._identity_texts
        left_number, right_number = source.identity, destination.identity
        left_identity = texts.get(left_number) or self._identity(left_number)
        right_identity = texts.get(right_number) or self._identity(right_number)
        return f"{left} {left_identity}", f"{right} {right_identity}"

    def type(self, flow: flow_pb2.Flow) -> str:
        """Say what kind of event the flow is, and where it was seen or why it was dropped."""
        return flow_type(flow, flow.event_type)

    def verdict(self, flow: flow_pb2.Flow) -> str:
        """Show what happened to the packet."""
        return self._verdict.text(flow, flow.event_type)

    def type_and_verdict(self, flow: flow_pb2.Flow) -> str:
        """Show both of the columns, parted by a space."""
        event = flow.event_type
        return f"{flow_type(flow, event)} {self._verdict.text(flow, event)}"

    def summary(self, flow: flow_pb2.Flow) -> str:
        """Show the transport header in words, with trace id and authentication where present."""
        text = visible(flow.Summary)
        if flow.HasField("ip_trace_id") and flow.ip_trace_id.trace_id:
            text = f"IP Trace ID: {flow.ip_trace_id.trace_id}; {text}"
        auth = flow.auth_type
        if auth:
            palette = self._palette
            color = palette.bad if auth == flow_pb2.TEST_ALWAYS_FAIL else palette.good
            name = _AUTH_TYPES.get(auth) or str(auth)
            text = f"{text}; Auth: {color}{name}{palette.end}"
        return text

    def _ends(
        self, flow: flow_pb2.Flow, source: flow_pb2.Endpoint, destination: flow_pb2.Endpoint
    ) -> tuple[str, str]:
        if not flow.HasField("IP"):
            if not flow.HasField("ethernet"):
                return "", ""
            ethernet = flow.ethernet
            return self._end(ethernet.source), self._end(ethernet.destination)
        source_name = destination_name = ""
        if self._translate:
            # Read here and not in a function of their own, since every flow passes.
            if self._strict:
                has_service = flow.HasField("source_service")
                source_name = _hubble_name(flow, "source", has_service=has_service)
                has_service = flow.HasField("destination_service")
                destination_name = _hubble_name(flow, "destination", has_service=has_service)
            else:
                if pod := source.pod_name:
                    namespace = source.namespace
                    source_name = f"{namespace}/{pod}" if namespace else pod
                else:
                    source_name = _name_beside_pod(flow, "source")
                if pod := destination.pod_name:
                    namespace = destination.namespace
                    destination_name = f"{namespace}/{pod}" if namespace else pod
                else:
                    destination_name = _name_beside_pod(flow, "destination")
        left, right = source_name or flow.IP.source, destination_name or flow.IP.destination
        left_port, right_port = _ports(flow)
        hosts, end = self._hosts, self._port_end
        return (
            f"{hosts.get(left) or self._host(left)}{left_port}{end}"
            if left_port
            else self._end(left),
            f"{hosts.get(right) or self._host(right)}{right_port}{end}"
            if right_port
            else self._end(right),
        )

    def _end(self, host: str) -> str:
        """Show an end that has no port."""
        return f"{self._host_start}{visible(host)}{self._host_end}"

    def _host(self, host: str) -> str:
        """Show an end up to its port."""
        if len(self._hosts) >= _REMEMBERED_MAX:
            self._hosts.clear()
        shown = f"[{visible(host)}]" if ":" in host else visible(host)
        text = self._hosts[host] = f"{self._host_start}{shown}{self._port_start}"
        return text

    def _identity(self, number: int) -> str:
        texts = self._identity_texts
        if number not in texts:
            if len(texts) >= _REMEMBERED_MAX:
                texts.clear()
            name = _IDENTITY_NAMES.get(number) or f"ID:{number}"
            texts[number] = f"{self._palette.identity}({name}){self._palette.end}"
        return texts[number]


def _name_beside_pod(flow: flow_pb2.Flow, side: str) -> str:
    """Find the name of an end that is no pod: service or DNS names; empty if it has none."""
    service: flow_pb2.Service = getattr(flow, f"{side}_service")
    name = service.name
    if name:
        namespace = service.namespace
        return f"{namespace}/{name}" if namespace else name
    return ",".join(getattr(flow, f"{side}_names"))


def _hubble_name(flow: flow_pb2.Flow, side: str, *, has_service: bool) -> str:
    """Find the name of an end as Hubble does, which puts a service's namespace before the pod."""
    pod = getattr(flow, side).pod_name
    if not pod:
        return _name_beside_pod(flow, side)
    owner = getattr(flow, f"{side}_service" if has_service else side)
    return f"{owner.namespace}/{pod}" if owner.namespace else pod


def _ports(flow: flow_pb2.Flow) -> tuple[int, int]:
    """Read the ports; 0 where the protocol has none."""
    layer4 = flow.l4
    if layer4.HasField("TCP"):  # most flows
        tcp = layer4.TCP
        return tcp.source_port, tcp.destination_port
    protocol = layer4.WhichOneof("protocol")
    if protocol == "UDP":
        return layer4.UDP.source_port, layer4.UDP.destination_port
    if protocol == "SCTP":
        return layer4.SCTP.source_port, layer4.SCTP.destination_port
    return 0, 0
