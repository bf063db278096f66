"""Random events and filters whose values come from the same small pools, so that many match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.names import Service
from palomar_server.surroundings import Surroundings
from palomar_server.table import FLOW, Flag, Kind, Protocol
from palomar_server.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_server.table import Rows

ADDRESSES = ("10.0.0.1", "10.0.1.1", "192.0.2.1", "::", "::1", "fd00::1", "2001:db8::1")
IDENTITIES = (0, 1, 2, 7, 1_000, 1_001, 16_777_217, 16_777_218)
REASONS = (0, 133, 181, 1_002, (1 << 32) - 133)
ENDPOINTS = (
    Endpoint(1, 1_000, "default", "web-1", "default", ("k8s:app=web",), (("web", "Deployment"),)),
    Endpoint(0, 1_000, "default", "web-2", "", ("k8s:app=web", "k8s:env=prod")),
    Endpoint(0, 0, "shop", "cart", "", ("k8s:app=cart", "k8s:io.cilium.k8s.policy.cluster=other")),
    Endpoint(2, 16_777_217, "shop", "", "prod", ("cidr:10.0.0.0/8", "cidr:10.0.0.0/24")),
    Endpoint(0, 1_001, "", "loose", "", (), (("", "Job"), ("cart", "StatefulSet"))),
)
UUIDS = (0, 1, 2, 1 << 48)
RUN_ID = 77
NODE_LABELS = ("zone=a", "gpu=true")


def surroundings() -> Surroundings:
    """Tables with a few of everything."""
    tables = Surroundings(EndpointTable())
    for number, endpoint in enumerate(ENDPOINTS):
        tables.endpoints.upsert(str(number), endpoint, (), at_ns=0)
    tables.identities.put(1_001, ("k8s:app=db", "k8s:io.cilium.k8s.policy.cluster=far"))
    tables.identities.put(16_777_218, ("cidr:0.0.0.0/0", "cidr:192.0.2.0/24", "reserved:world"))
    for index, name in enumerate(("eth0", "lxc1"), start=1):
        tables.interface(index, name)
    tables.names.put_dns(0, parse_address("192.0.2.1"), ("www.example.com", "example.com"))
    tables.names.put_dns(1, parse_address("192.0.2.1"), ("api.example.com",))
    tables.names.put_dns(2, parse_address("fd00::1"), ("under_score.example.com",))
    tables.names.put_service(parse_address("10.0.0.1"), 80, Service("web", "default"))
    tables.names.put_service(parse_address("::1"), 0, Service("cart", "shop"))
    return tables


@dataclass(frozen=True, slots=True)
class Events:
    """Rows as a ring would hold them, from sequence `first` on."""

    rows: Rows
    messages: list[bytes]
    surroundings: Surroundings
    encoder: FlowEncoder
    first: int

    def view(self) -> View:
        """The rows as filters see them."""
        return View(self.rows, self.first, self._message, self.encoder)

    def _message(self, number: int) -> bytes:
        return self.messages[int(self.rows["message"][number - self.first]) - 1]

    def event(self, index: int) -> Any:
        """A row as the message that is sent of it."""
        content = self.view().content(index)
        match int(self.rows["kind"][index]):
            case Kind.AGENT:
                return flow_pb2.AgentEvent.FromString(content)
            case Kind.DEBUG:
                return flow_pb2.DebugEvent.FromString(content)
            case Kind.LOST:
                return flow_pb2.LostEvent.FromString(content)
        return self.view().flow(index)


_OTHERS: dict[Kind, tuple[int, Callable[[int], Any]]] = {
    Kind.LOST: (0, lambda _: flow_pb2.LostEvent(num_events_lost=1)),
    Kind.AGENT: (
        MessageType.AGENT,
        lambda number: flow_pb2.AgentEvent(type=flow_pb2.AgentEventType.ValueType(number)),
    ),
    Kind.DEBUG: (
        MessageType.DEBUG,
        lambda number: flow_pb2.DebugEvent(type=flow_pb2.DebugEventType.ValueType(number)),
    ),
}
_PACKET_TYPES = (1, 3, 4, 5)
_SOCKETS = int(MessageType.TRACE_SOCK)
_ACCESS_LOG = int(MessageType.ACCESS_LOG)


@st.composite
def _flow_row(draw: st.DrawFn) -> dict[str, int]:
    """Columns as a decoder may fill them."""
    columns = {
        "event_type": draw(st.sampled_from((*_PACKET_TYPES, _SOCKETS, _ACCESS_LOG))),
        "event_subtype": draw(st.sampled_from((0, 1, 2, 3, 4, 133))),
        "verdict": draw(st.sampled_from((0, 1, 2, 2, 5))),
        "direction": draw(st.integers(0, 2)),
        "is_reply": draw(st.integers(-1, 1)),
        "ip_trace_id": draw(st.sampled_from((0, 0, 9, (1 << 64) - 1))),
        "interface": draw(st.integers(0, 2)),
    }
    for side in ("source", "destination"):
        columns[f"{side}_endpoint"] = draw(st.integers(0, len(ENDPOINTS)))
        columns[f"{side}_identity"] = draw(st.sampled_from(IDENTITIES))
    flags = Flag.PACKET
    if draw(st.integers(0, 4)):
        flags |= Flag.IP | draw(st.sampled_from((Flag(0), Flag.ENCRYPTED, Flag.XLATED)))
        columns["ip_version"] = draw(st.integers(1, 2))
        for side in ("source", "destination", "source_xlated"):
            hi, lo = parse_address(draw(st.sampled_from(ADDRESSES)))
            columns[f"{side}_hi"], columns[f"{side}_lo"] = hi, lo
    if draw(st.integers(0, 3)):
        flags |= Flag.L4
        of_sockets = (Protocol.TCP, Protocol.UDP)
        is_socket = columns["event_type"] == _SOCKETS
        columns["protocol"] = draw(st.sampled_from(of_sockets if is_socket else tuple(Protocol)))
        columns["source_port"] = draw(st.sampled_from((0, 80, 65_535)))
        columns["destination_port"] = draw(st.sampled_from((0, 53, 80)))
        columns["tcp_flags"] = draw(st.sampled_from((0, 2, 18, 0x1FF)))
    if columns["verdict"] == flow_pb2.DROPPED and columns["event_type"] in _PACKET_TYPES[2:]:
        columns["drop_reason"] = draw(st.sampled_from(REASONS))
    columns["flags"] = int(flags)
    return columns


def _with_content(draw: st.DrawFn, flow: flow_pb2.Flow, columns: dict[str, int]) -> flow_pb2.Flow:
    """The flow as an access log or somebody else's event may tell it."""
    flow.ClearField("emitter")
    flow.ClearField("uuid")
    flow.ClearField("node_name")
    flow.ClearField("node_labels")
    if draw(st.booleans()):
        flow.uuid = draw(st.sampled_from(("", "u1", uuid_text(0))))
        flow.node_name = draw(st.sampled_from(("", "far", "other/node")))
        flow.node_labels.extend(draw(st.sampled_from(((), ("zone=b",)))))
    for end in (flow.source, flow.destination):
        if draw(st.booleans()):
            end.labels[:] = draw(st.sampled_from(((), ("k8s:app=web",), ("reserved:world",))))
            end.cluster_name = draw(st.sampled_from(("", "default", "told")))
    if columns["flags"] & Flag.IP and draw(st.booleans()):
        flow.IP.source = draw(st.sampled_from(("", "::ffff:10.0.0.1", "FD00::1", "10.0.0.1")))
    flow.source_names.extend(draw(st.sampled_from(((), ("told.example.com",)))))
    flow.destination_service.name = draw(st.sampled_from(("", "web")))
    flow.trace_context.parent.trace_id = draw(st.sampled_from(("", "t1")))
    match draw(st.sampled_from(("http", "dns", "kafka", ""))):
        case "http":
            http = flow.l7.http
            http.method = draw(st.sampled_from(("", "GET", "post")))
            http.url = draw(st.sampled_from(("", "http://a/cart?x=1", "%zz")))
            http.code = draw(st.sampled_from((0, 200, 404)))
            http.headers.add(key="Host", value="a")
        case "dns":
            flow.l7.dns.query = draw(st.sampled_from(("", "www.example.com.")))
        case "kafka":
            flow.l7.kafka.topic = "t"
    return flow


def uuid_text(sequence: int) -> str:
    """The uuid of an event of the random rings."""
    return FlowEncoder(Surroundings(EndpointTable()), "", run_id=RUN_ID).uuid(sequence)


@st.composite
def events(draw: st.DrawFn) -> Events:
    """A few events of all kinds."""
    tables = surroundings()
    encoder = FlowEncoder(tables, "default/node-1", NODE_LABELS, run_id=RUN_ID)
    first = draw(st.sampled_from(UUIDS))
    count = draw(st.integers(0, 5))
    rows = np.zeros(count, FLOW)
    messages: list[bytes] = []
    for row in rows:
        other = _OTHERS.get(draw(st.sampled_from((*[Kind.FLOW] * 6, *Kind))))
        if other is not None:
            subtype = draw(st.integers(0, 4))
            row["kind"] = next(kind for kind, one in _OTHERS.items() if one is other)
            row["event_type"], row["event_subtype"] = other[0], subtype if other[0] else 0
            messages.append(other[1](subtype).SerializeToString())
            row["message"] = len(messages)
            continue
        columns = draw(_flow_row())
        for name, value in columns.items():
            row[name] = value
        if columns["event_type"] == _ACCESS_LOG or not draw(st.integers(0, 9)):
            flow = _with_content(draw, encoder.flow(row), columns)
            messages.append(flow.SerializeToString())
            row["message"] = len(messages)
    return Events(rows, messages, tables, encoder, first)


def _addresses() -> tuple[str, ...]:
    return (
        *ADDRESSES,
        *("10.0.0.0/24", "0.0.0.0/0", "::/0", "::ffff:0:0/96", "fd00::/8", "::/127", "10.0.0.1/32"),
        *("::ffff:10.0.0.1", "FD00::1", "0:0::1"),
    )


_ENDS: dict[str, tuple[Any, ...]] = {
    "ip": _addresses(),
    "pod": ("web", "web-1", "shop/", "/", "/c", "default/", "shop/cart/x", "/loose"),
    "service": ("web", "shop/", "/", "/c", "default/web"),
    "fqdn": ("*.example.com", "example.com", "api.*", "*", "told.example.com", "under*"),
    "label": (
        "app=web",
        "!app",
        "env!=prod",
        "reserved:world",
        "app in (db,cart)",
        "cidr:10.0.0.0/8",
    ),
    "workload": tuple(
        flow_pb2.Workload(name=name, kind=kind)
        for name, kind in (("web", ""), ("", "Job"), ("", ""))
    ),
    "cluster_name": ("default", "other", "far", "prod", "told"),
    "identity": IDENTITIES,
    "port": ("0", "80", "53", "65535", "1", "2", "3"),
}
_FLAGS = flow_pb2.TCPFlags
_TYPES = flow_pb2.EventTypeFilter
_LINKS = flow_pb2.NetworkInterface
POOLS: dict[str, tuple[Any, ...]] = {
    **{
        f"{side}_{name}": pool for side in ("source", "destination") for name, pool in _ENDS.items()
    },
    "source_ip_xlated": _addresses(),
    "uuid": ("", "u1", *map(uuid_text, (0, 1, 2, 3, (1 << 48) + 1)), "x" * 36),
    "traffic_direction": (0, 1, 2, 9),
    "verdict": (0, 1, 2, 5, 300),
    "drop_reason_desc": (0, 133, 181, 1_002, -133),
    "interface": (_LINKS(), _LINKS(index=1), _LINKS(name="lxc1"), _LINKS(index=1, name="lxc1")),
    "event_type": (
        *(_TYPES(type=number) for number in (-1, 0, 1, 2, 4, 7, 129, 130, 257)),
        *(_TYPES(type=kind, match_sub_type=True, sub_type=3) for kind in (0, 1, 2, 4, 130)),
        _TYPES(match_sub_type=True, sub_type=300),
        _TYPES(type=129, match_sub_type=True),
    ),
    "http_status_code": ("200", "4+", "40+"),
    "http_method": ("GET", "POST"),
    "http_path": ("cart", ".*", "^/$"),
    "http_url": ("x=1", "^http", ""),
    "http_header": (flow_pb2.HTTPHeader(key="Host", value="a"), flow_pb2.HTTPHeader(key="host")),
    "dns_query": ("example", ".*", "^$"),
    "protocol": ("tcp", "UDP", "icmp", "icmpv6", "sctp", "igmp", "vrrp", "http", "dns", "kafka"),
    "reply": (True, False),
    "tcp_flags": (_FLAGS(), _FLAGS(SYN=True), _FLAGS(ACK=True, SYN=True), _FLAGS(NS=True)),
    "node_name": ("node-1", "*", "default/", "other/*", "far", "/", "x"),
    "node_labels": ("zone=a", "zone=b", "!zone", "gpu!=true"),
    "ip_version": (0, 1, 2, 9),
    "trace_id": ("", "t1", "t2"),
    "ip_trace_id": (0, 9, (1 << 64) - 1),
    "encrypted": (True, False),
}
"""Values that each field of FlowFilter may get; all are valid."""
EXPRESSIONS = (
    "true",
    "_flow.verdict == Verdict.DROPPED",
    "_flow.source.pod_name.startsWith('web')",
    "_flow.node_labels[5] == 'x'",
    "has(_flow.l7)",
)
_ONLY_WITH_ACCESS_LOGS = frozenset(name for name in POOLS if name.startswith("http_"))


@st.composite
def filters(draw: st.DrawFn) -> flow_pb2.FlowFilter:
    """A valid filter of a few fields."""
    names = draw(st.sets(st.sampled_from([*POOLS, "experimental"]), max_size=3))
    if names & _ONLY_WITH_ACCESS_LOGS:
        names.discard("event_type")
    flow_filter = flow_pb2.FlowFilter()
    for name in sorted(names):
        if name == "experimental":
            texts = draw(st.lists(st.sampled_from(EXPRESSIONS), max_size=2))
            flow_filter.experimental.cel_expression.extend(texts)
            continue
        # More than the few for which there are short cuts.
        values = draw(st.lists(st.sampled_from(POOLS[name]), min_size=1, max_size=6))
        getattr(flow_filter, name).extend(values)
    return flow_filter
