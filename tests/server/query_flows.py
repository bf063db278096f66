"""Flows of few different values, so that groups have several, and what clients see of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import drop_reason_pb2, flow_field_pb2
from palomar_server.address import parse_address
from palomar_server.endpoints import Endpoint, EndpointTable
from palomar_server.flow_summary import TCP_FLAGS
from palomar_server.names import Service
from palomar_server.table import FLOW, Flag, Protocol
from palomar_server.testing import START_NS, Core, flow_rows

if TYPE_CHECKING:
    from palomar_server.table import Rows

ENDPOINTS = (
    Endpoint(7, 100, "shop", "web-1", "default", ("k8s:app=web", "k8s:tier=front")),
    Endpoint(8, 100, "shop", "web-1", "default", ("k8s:app=web",), (("web", "Deployment"),)),
    Endpoint(0, 101, "shop", "cart-1", "", ("k8s:app=cart",), (("c", "Job"), ("w", "CronJob"))),
    Endpoint(0, 2, "", "", "", ("reserved:world",)),
)
ADDRESSES = [parse_address(text) for text in ("10.0.0.1", "10.0.0.2", "2001:db8::1")]


def core_with_tables(capacity: int = 63) -> Core:
    """A core that knows the endpoints, names of addresses and interfaces."""
    core = Core(capacity=capacity, endpoints=EndpointTable())
    for number, endpoint in enumerate(ENDPOINTS):
        core.surroundings.endpoints.upsert(str(number), endpoint, (), 0)
    names = core.surroundings.names
    names.put_dns(7, ADDRESSES[0], ("a.example.", "b.example."))
    names.put_dns(0, ADDRESSES[1], ("b.example.",))
    names.put_service(ADDRESSES[0], 80, Service("web", "shop"))
    names.put_service(ADDRESSES[2], 0, Service("any", "shop"))
    for index, name in ((1, "eth0"), (2, "eth0"), (3, "")):
        core.surroundings.interface(index, name)
    return core


@st.composite
def rows(draw: st.DrawFn, most: int = 40) -> Rows:
    """Rows that the decoder may give."""
    count = draw(st.integers(0, most))

    def column(*values: int) -> list[int]:
        one = st.sampled_from(values)
        return draw(st.lists(one, min_size=count, max_size=count))

    made = flow_rows(count)
    for end in ("source", "destination"):
        made[f"{end}_endpoint"] = column(0, 1, 2, 3, 4)
        made[f"{end}_identity"] = column(0, 2, 100, 101, 70_000)
        made[f"{end}_port"] = column(0, 53, 80, 443)
        chosen = [ADDRESSES[index] for index in column(0, 1, 2)]
        made[f"{end}_hi"] = np.array([hi for hi, _ in chosen], np.uint64)
        made[f"{end}_lo"] = np.array([lo for _, lo in chosen], np.uint64)
    made["protocol"] = column(Protocol.TCP, Protocol.UDP, Protocol.ICMP)
    made["flags"] = column(0, Flag.IP, Flag.IP | Flag.L4)
    made["verdict"] = column(flow_pb2.FORWARDED, flow_pb2.DROPPED)
    made["event_type"] = [
        MessageType.DROP if verdict == flow_pb2.DROPPED else MessageType.TRACE
        for verdict in made["verdict"].tolist()
    ]
    made["drop_reason"] = column(133, 181, 1_005)
    made["interface"] = column(0, 1, 2, 3)
    made["is_reply"] = column(-1, 0, 1)
    made["tcp_flags"] = column(0, 0x02, 0x12)
    made["observation_point"] = column(0, flow_pb2.FROM_ENDPOINT, flow_pb2.TO_ENDPOINT)
    made["direction"] = column(flow_pb2.INGRESS, flow_pb2.EGRESS)
    made["time_ns"] = START_NS + np.array(column(0, 1, 999, 70_000_000_000), np.uint64)
    made["bytes"] = np.array(column(0, 60, 1 << 60, (1 << 33) + 1), np.uint64)
    made["packets"] = column(1, 7, (1 << 32) - 1)
    return made.astype(FLOW)


def values_of(flow: flow_pb2.Flow, field: int, end: str) -> tuple[str, ...]:  # noqa: PLR0911
    """What a flow has of a field, read from the message that a client gets."""
    side: flow_pb2.Endpoint = getattr(flow, end)
    header = getattr(flow.l4, flow.l4.WhichOneof("protocol") or "TCP")
    f = flow_field_pb2
    match field:
        case f.FLOW_FIELD_POD:
            return (f"{side.namespace}/{side.pod_name}",) if side.pod_name else ()
        case f.FLOW_FIELD_LABEL:
            return tuple(side.labels)
        case f.FLOW_FIELD_WORKLOAD:
            return tuple(f"{one.kind}/{one.name}" for one in side.workloads)
        case f.FLOW_FIELD_PORT:
            port = getattr(header, f"{end}_port", None) if flow.HasField("l4") else None
            return () if port is None else (str(port),)
        case f.FLOW_FIELD_FQDN:
            return tuple(getattr(flow, f"{end}_names"))
        case f.FLOW_FIELD_SERVICE:
            service = getattr(flow, f"{end}_service")
            return (f"{service.namespace}/{service.name}",) if service.name else ()
        case f.FLOW_FIELD_DROP_REASON:
            return (_reason(flow.drop_reason_desc),) if flow.verdict == flow_pb2.DROPPED else ()
        case f.FLOW_FIELD_TCP_FLAGS:
            flags = flow.l4.TCP.flags
            text = ", ".join(name for name, _ in TCP_FLAGS if getattr(flags, name))
            return (text,) if text else ()
        case f.FLOW_FIELD_REPLY:
            known = flow.HasField("is_reply")
            return (str(flow.is_reply.value).lower(),) if known else ()
    return tuple(filter(None, (str(_plain(flow, side, field, end)),)))


def _plain(flow: flow_pb2.Flow, side: flow_pb2.Endpoint, field: int, end: str) -> Any:
    f = flow_field_pb2
    transports = {"TCP": "tcp", "UDP": "udp", "ICMPv4": "icmpv4"}
    versions = {flow_pb2.IPv4: "IPv4", flow_pb2.IPv6: "IPv6"}
    values: dict[int, Any] = {
        f.FLOW_FIELD_NAMESPACE: side.namespace,
        f.FLOW_FIELD_IDENTITY: side.identity or "",
        f.FLOW_FIELD_CLUSTER: side.cluster_name,
        f.FLOW_FIELD_IP: getattr(flow.IP, end),
        f.FLOW_FIELD_PROTOCOL: transports.get(flow.l4.WhichOneof("protocol") or "", ""),
        f.FLOW_FIELD_VERDICT: flow_pb2.Verdict.Name(flow.verdict),
        f.FLOW_FIELD_DIRECTION: flow_pb2.TrafficDirection.Name(flow.traffic_direction),
        f.FLOW_FIELD_INTERFACE: flow.interface.name or flow.interface.index or "",
        f.FLOW_FIELD_OBSERVATION_POINT: flow_pb2.TraceObservationPoint.Name(
            flow.trace_observation_point
        ),
        f.FLOW_FIELD_EVENT_TYPE: {1: "drop", 4: "trace"}[flow.event_type.type],
        f.FLOW_FIELD_IP_VERSION: versions.get(flow.IP.ipVersion, ""),
        f.FLOW_FIELD_NODE: flow.node_name,
        f.FLOW_FIELD_HTTP_METHOD: flow.l7.http.method,
        f.FLOW_FIELD_HTTP_PATH: flow.l7.http.url,
        f.FLOW_FIELD_HTTP_STATUS: flow.l7.http.code or "",
        f.FLOW_FIELD_DNS_QUERY: flow.l7.dns.query,
    }
    return values[field]


def _reason(number: int) -> str:
    if number >= 1_000:
        return drop_reason_pb2.KernelDropReason.Name(
            drop_reason_pb2.KernelDropReason.ValueType(number - 1_000)
        )
    return flow_pb2.DropReason.Name(flow_pb2.DropReason.ValueType(number))
