"""Events of a corpus as rows of the flow table, with the tables that the rows point into.

The other way round than the server, which makes messages of rows: a flow whose row gives the same
message again lives in columns alone. Any other flow, as every one of an application protocol, gets
its message beside its row, as the server keeps those that columns have no room for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.address import format_address, parse_address
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.flow_summary import TCP_FLAGS
from palomar_server.names import Service
from palomar_server.source_files import source_file
from palomar_server.surroundings import Surroundings
from palomar_server.table import FLOW, Flag, Kind, Protocol
from palomar_server.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from palomar_server.address import Address
    from palomar_server.table import Rows

    Event: TypeAlias = (
        flow_pb2.Flow | flow_pb2.AgentEvent | flow_pb2.DebugEvent | flow_pb2.LostEvent
    )

OF_THE_SERVER = frozenset({"time", "uuid", "emitter"})
"""Fields of a flow that are the server's to set."""
ALL = frozenset(flow_pb2.Flow.DESCRIPTOR.fields_by_name) - OF_THE_SERVER
"""What a row must give back, unless less matters."""
FILTERED = frozenset(
    {
        *("verdict", "IP", "l4", "l7", "source", "destination", "node_name", "node_labels"),
        *("source_names", "destination_names", "source_service", "destination_service"),
        *("event_type", "traffic_direction", "is_reply", "drop_reason_desc", "interface"),
        *("trace_context", "ip_trace_id"),
    }
)
"""What fields of FlowFilter look at besides the uuid; expressions may look at anything."""

_KINDS: dict[type, tuple[Kind, int]] = {
    flow_pb2.LostEvent: (Kind.LOST, 0),
    flow_pb2.AgentEvent: (Kind.AGENT, MessageType.AGENT),
    flow_pb2.DebugEvent: (Kind.DEBUG, MessageType.DEBUG),
}
_PROTOCOLS = {
    "TCP": Protocol.TCP,
    "UDP": Protocol.UDP,
    "SCTP": Protocol.SCTP,
    "ICMPv4": Protocol.ICMP,
    "ICMPv6": Protocol.ICMPV6,
    "IGMP": Protocol.IGMP,
    "VRRP": Protocol.VRRP,
}
_SOURCE_FILES = {source_file(number): number for number in range(256)}
_ENDPOINT_ID_MAX = _PORT_MASK = (1 << 16) - 1
_UINT32_MASK = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class FlowRows:
    """Events as rows, in the same order."""

    rows: Rows
    messages: list[bytes]
    """What the rows' column `message` counts."""
    surroundings: Surroundings
    encoder: FlowEncoder
    left_out: list[int]
    """Indices of flows with a number that its column cannot hold; their rows say nothing of it."""

    @property
    def in_columns(self) -> list[int]:
        """Indices of flows whose row alone gives them back."""
        alone: list[int] = (self.rows["message"] == 0).nonzero()[0].tolist()
        return alone

    def view(self) -> View:
        """The rows as filters see them, numbered from 0."""
        return View(self.rows, 0, self._message, self.encoder)

    def _message(self, number: int) -> bytes:
        return self.messages[int(self.rows["message"][number]) - 1]


def to_rows(
    events: Sequence[Event],
    *,
    node_name: str = "",
    node_labels: tuple[str, ...] = (),
    compared: frozenset[str] = ALL,
) -> FlowRows:
    """Make rows of events.

    Args:
        events: of any kind.
        node_name: of the node that rows without a message are from; empty as in flows that do not
            tell it.
        node_labels: of the same.
        compared: fields of flow.Flow in which a row has to give the same back to do without a
            message.
    """
    surroundings = Surroundings(EndpointTable())
    encoder = FlowEncoder(surroundings, node_name, node_labels, run_id=1)
    rows = np.zeros(len(events), FLOW)
    left_out = []
    for index, event in enumerate(events):
        writer = _RowWriter(rows[index], surroundings)
        if isinstance(event, flow_pb2.Flow):
            writer.write_flow(event)
        else:
            writer.write_other(event)
        if writer.overflown:
            left_out.append(index)
    messages: list[bytes] = []
    # Of rows that no decoder would write a view gives empty flows.
    columns = View(rows.copy(), 0, lambda _: b"", encoder)
    for index, event in enumerate(events):
        # Last, when all names are known: those of one flow may be wrong for another.
        if (
            not isinstance(event, flow_pb2.Flow)
            or index in left_out
            or _only(columns.flow(index), compared) != _only(event, compared)
        ):
            messages.append(event.SerializeToString())
            rows["message"][index] = len(messages)
    return FlowRows(rows, messages, surroundings, encoder, left_out)


def _only(flow: flow_pb2.Flow, fields: frozenset[str]) -> Any:
    copy: Any = flow_pb2.Flow()
    copy.CopyFrom(flow)
    for field, _ in flow.ListFields():
        if field.name not in fields:
            copy.ClearField(field.name)
    return copy


class _RowWriter:
    """Fills one row, and the tables with what it refers to."""

    def __init__(self, row: Any, surroundings: Surroundings) -> None:
        self._row = row
        self._surroundings = surroundings
        self.overflown = False
        """Whether a number did not fit its column."""

    def _set(self, column: str, value: int) -> None:
        limits = np.iinfo(FLOW[column])
        if limits.min <= value <= limits.max:
            self._row[column] = value
        else:
            self.overflown = True

    def write_other(
        self, event: flow_pb2.AgentEvent | flow_pb2.DebugEvent | flow_pb2.LostEvent
    ) -> None:
        """Write an event that is no flow."""
        kind, event_type = _KINDS[type(event)]
        self._set("kind", kind)
        self._set("event_type", event_type)
        if not isinstance(event, flow_pb2.LostEvent):
            self._set("event_subtype", event.type)

    def write_flow(self, flow: flow_pb2.Flow) -> None:
        """Write a flow."""
        for column, value in (
            ("time_ns", flow.time.ToNanoseconds()),
            ("packets", 1),
            ("event_type", flow.event_type.type),
            ("event_subtype", flow.event_type.sub_type),
            ("verdict", flow.verdict),
            ("direction", flow.traffic_direction),
            ("observation_point", flow.trace_observation_point),
            ("trace_reason", flow.trace_reason),
            ("proxy_port", flow.proxy_port),
            ("policy_match_type", flow.policy_match_type),
            ("auth_type", flow.auth_type),
            ("socket_cookie", flow.socket_cookie),
            ("cgroup_id", flow.cgroup_id),
            ("ip_trace_id", flow.ip_trace_id.trace_id),
            ("ip_trace_option", flow.ip_trace_id.ip_option_type),
            # Of the two fields the newer one has all 32 bits.
            ("drop_reason", flow.drop_reason_desc & _UINT32_MASK),
            ("drop_line", flow.file.line),
            ("drop_file", _SOURCE_FILES.get(flow.file.name, 0)),
            ("is_reply", int(flow.is_reply.value) if flow.HasField("is_reply") else -1),
        ):
            self._set(column, value)
        if flow.HasField("interface"):
            interface = self._surroundings.interface(flow.interface.index, flow.interface.name)
            self._set("interface", interface)
        self._write_end("source", flow.source)
        self._write_end("destination", flow.destination)
        flags = self._write_ethernet(flow) | self._write_ip(flow) | self._write_l4(flow.l4)
        self._set("flags", int(flags))
        self._note_names(flow)

    def _write_end(self, side: str, end: flow_pb2.Endpoint) -> None:
        endpoint = Endpoint(
            id=end.ID,
            identity=end.identity,
            namespace=end.namespace,
            pod_name=end.pod_name,
            cluster_name=end.cluster_name,
            labels=tuple(end.labels),
            workloads=tuple((one.name, one.kind) for one in end.workloads),
        )
        self._set(f"{side}_identity", end.identity)
        if end.ID > _ENDPOINT_ID_MAX:
            self.overflown = True
        elif endpoint != Endpoint(identity=end.identity):
            row = self._surroundings.endpoints.upsert(repr(endpoint), endpoint, (), at_ns=0)
            self._set(f"{side}_endpoint", row)

    def _write_ethernet(self, flow: flow_pb2.Flow) -> Flag:
        if not flow.HasField("ethernet"):
            return Flag(0)
        for side, text in (
            ("source", flow.ethernet.source),
            ("destination", flow.ethernet.destination),
        ):
            self._row[f"{side}_mac"] = list(bytes.fromhex(text.replace(":", "")))
        return Flag.ETHERNET | Flag.PACKET

    def _write_ip(self, flow: flow_pb2.Flow) -> Flag:
        header = flow.IP
        self._set("ip_version", header.ipVersion)
        if not flow.HasField("IP"):
            return Flag(0)
        flags = Flag.IP | (Flag.ENCRYPTED if header.encrypted else Flag(0))
        for side, text in (
            ("source", header.source),
            ("destination", header.destination),
            ("source_xlated", header.source_xlated),
        ):
            if (address := _shown_address(text)) is not None:
                self._row[f"{side}_hi"], self._row[f"{side}_lo"] = address
        return flags | (Flag.XLATED if header.source_xlated else Flag(0))

    def _write_l4(self, l4: flow_pb2.Layer4) -> Flag:
        name = l4.WhichOneof("protocol")
        if name is None:
            return Flag(0)
        header = getattr(l4, name)
        self._set("protocol", _PROTOCOLS[name])
        for column, field in (
            ("source_port", "source_port"),
            ("destination_port", "destination_port"),
            ("icmp_type", "type"),
            ("icmp_code", "code"),
            ("vrrp_vrid", "vrid"),
            ("vrrp_priority", "priority"),
        ):
            value = getattr(header, field, 0)
            self._set(column, value & _PORT_MASK if column.endswith("_port") else value)
        if name == "TCP":
            bits = (bit for flag, bit in TCP_FLAGS if getattr(header.flags, flag))
            self._set("tcp_flags", sum(bits))
        if name == "IGMP" and (address := _shown_address(header.group_address)) is not None:
            self._set("igmp_group", address[1] & _UINT32_MASK)
        return Flag.L4

    def _note_names(self, flow: flow_pb2.Flow) -> None:
        names = self._surroundings.names
        for side, other, host_names, service in (
            ("source", flow.destination, flow.source_names, flow.source_service),
            ("destination", flow.source, flow.destination_names, flow.destination_service),
        ):
            address = _shown_address(getattr(flow.IP, side))
            if address is None:
                continue
            if host_names and not names.dns(other.ID, address):
                names.put_dns(other.ID, address, tuple(host_names))
            port = int(self._row[f"{side}_port"])
            if service.name and names.service(address, port) is None:
                names.put_service(address, port, Service(service.name, service.namespace))


def _shown_address(text: str) -> Address | None:
    """The address as columns hold it; None if they would give another text back."""
    try:
        address = parse_address(text)
    except ValueError:
        return None
    return address if format_address(*address) == text else None
