"""A flow with typed properties for what people ask of it.

    for flow in map(FlowView, client.observe(verdict="dropped")):
        print(flow.source.name, "->", flow.destination.name, flow.drop_reason)

Texts are as `Client.hints` gives them and as filters take them; what a flow lacks is empty, and
`None` where nothing else can say so. Numbers that have no name here, from a newer server, are given
as text. Nothing is copied: a view reads the message when it is asked.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from palomar.event_types import EVENT_TYPES
from palomar.printers.escape import visible
from palomar_proto.flow.flow_pb2 import (
    DNS,
    DROPPED,
    HTTP,
    DropReason,
    Flow,
    Policy,
    TCPFlags,
    TraceObservationPoint,
    TrafficDirection,
    Verdict,
)
from palomar_proto.palomar.v1.drop_reason_pb2 import KernelDropReason

_SECOND_NS: Final = 1_000_000_000
_KERNEL_REASON_BASE: Final = 1000

_VERDICTS: Final = {value.number: value.name for value in Verdict.DESCRIPTOR.values}
_DIRECTIONS: Final = {value.number: value.name for value in TrafficDirection.DESCRIPTOR.values}
_POINTS: Final = {value.number: value.name for value in TraceObservationPoint.DESCRIPTOR.values}
_REASONS: Final = {value.number: value.name for value in DropReason.DESCRIPTOR.values} | {
    _KERNEL_REASON_BASE + value.number: value.name for value in KernelDropReason.DESCRIPTOR.values
}
_EVENT_TYPES: Final = {number: name for name, number in EVENT_TYPES.items()}
_TCP_FLAGS: Final = tuple(field.name for field in TCPFlags.DESCRIPTOR.fields)
_WITH_PORTS: Final = frozenset({"TCP", "UDP", "SCTP"})


class FlowEnd:
    """One end of a flow: its source or its destination.

    Args:
        flow: The flow.
        side: `source` or `destination`.
    """

    def __init__(self, flow: Flow, side: str) -> None:
        self._flow = flow
        self._side = side
        self._endpoint = flow.source if side == "source" else flow.destination

    @property
    def name(self) -> str:
        """The best name there is: the pod, the service, the DNS names, else the address."""
        return self.pod or self.service or ", ".join(self.dns_names) or self.ip or self.mac

    @property
    def pod(self) -> str:
        """The pod as `namespace/pod`; without a namespace the pod alone."""
        name = self._endpoint.pod_name
        return f"{self.namespace}/{name}" if name and self.namespace else name

    @property
    def pod_name(self) -> str:
        """The pod without its namespace."""
        return self._endpoint.pod_name

    @property
    def namespace(self) -> str:
        """The namespace."""
        return self._endpoint.namespace

    @property
    def cluster(self) -> str:
        """The cluster."""
        return self._endpoint.cluster_name

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, as `source:key=value`."""
        return tuple(self._endpoint.labels)

    def label(self, key: str) -> str | None:
        """The value of a label.

        Args:
            key: Its key, with the source in front (`k8s:app`) or without (`app`).

        Returns:
            The value of the first label of that key; `None` if there is none.
        """
        for label in self._endpoint.labels:
            name, _, value = label.partition("=")
            if key in {name, name.partition(":")[2]}:
                return value
        return None

    @property
    def workload(self) -> str:
        """The first controller of the pod, as `kind/name`."""
        for workload in self._endpoint.workloads:
            return f"{workload.kind}/{workload.name}"
        return ""

    @property
    def identity(self) -> int:
        """The number of the security identity; 0 where it is not known."""
        return self._endpoint.identity

    @property
    def service(self) -> str:
        """The service that address and port belong to, as `namespace/service`."""
        source = self._side == "source"
        service = self._flow.source_service if source else self._flow.destination_service
        return f"{service.namespace}/{service.name}".strip("/")

    @property
    def dns_names(self) -> tuple[str, ...]:
        """DNS names that the other end has looked up for the address."""
        source = self._side == "source"
        return tuple(self._flow.source_names if source else self._flow.destination_names)

    @property
    def ip(self) -> str:
        """The address; empty for packets without an IP header."""
        return self._flow.IP.source if self._side == "source" else self._flow.IP.destination

    @property
    def mac(self) -> str:
        """The hardware address."""
        ethernet = self._flow.ethernet
        return ethernet.source if self._side == "source" else ethernet.destination

    @property
    def port(self) -> int | None:
        """The port of TCP, UDP or SCTP; `None` for others."""
        protocol = self._flow.l4.WhichOneof("protocol")
        if protocol not in _WITH_PORTS:
            return None
        port: int = getattr(getattr(self._flow.l4, protocol), f"{self._side}_port")
        return port

    def __str__(self) -> str:
        host = visible(self.name)
        if self.port is None:
            return host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class FlowView:
    """A flow, seen through typed properties.

    Args:
        flow: The message; it stays at hand as `flow`.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow = flow

    @property
    def time_ns(self) -> int:
        """When the packet was seen, UTC ns since 1970; 0 where the flow does not say."""
        return self.flow.time.seconds * _SECOND_NS + self.flow.time.nanos

    @property
    def time(self) -> datetime | None:
        """The same as a datetime in UTC, exact to the microsecond; `None` where it has none."""
        if not self.flow.HasField("time"):
            return None
        try:
            return self.flow.time.ToDatetime(UTC)
        except (ValueError, OverflowError):  # outside the years 1 to 9999
            return None

    @property
    def uuid(self) -> str:
        """What `Client.explain` finds the flow by."""
        return self.flow.uuid

    @property
    def node(self) -> str:
        """The node that saw the packet, as `cluster/node`."""
        return self.flow.node_name

    @property
    def source(self) -> FlowEnd:
        """Where the packet came from."""
        return FlowEnd(self.flow, "source")

    @property
    def destination(self) -> FlowEnd:
        """Where it was going."""
        return FlowEnd(self.flow, "destination")

    @property
    def verdict(self) -> str:
        """What happened to it, such as `FORWARDED` or `DROPPED`."""
        return _named(_VERDICTS, self.flow.verdict)

    @property
    def dropped(self) -> bool:
        """Whether it was dropped."""
        return self.flow.verdict == DROPPED

    @property
    def drop_reason(self) -> str:
        """Why, such as `POLICY_DENIED` or the kernel's `NETFILTER_DROP`; empty if not dropped."""
        return _named(_REASONS, self.flow.drop_reason_desc) if self.dropped else ""

    @property
    def drop_place(self) -> str:
        """Where that was decided: a function of the kernel, or `FILE:LINE` of a BPF program."""
        place = self.flow.file
        return f"{place.name}:{place.line}" if place.line else place.name

    @property
    def event_type(self) -> str:
        """What saw it: `drop`, `trace`, `policy-verdict`, `l7`, `capture` or `trace-sock`."""
        number = self.flow.event_type.type
        return _named(_EVENT_TYPES, number) if number else ""

    @property
    def observation_point(self) -> str:
        """Where on its way it was seen, such as `FROM_ENDPOINT`; empty where that is not known."""
        point = self.flow.trace_observation_point
        return _named(_POINTS, point) if point else ""

    @property
    def direction(self) -> str:
        """`INGRESS` or `EGRESS` of the endpoint where it was seen; empty where not known."""
        direction = self.flow.traffic_direction
        return _named(_DIRECTIONS, direction) if direction else ""

    @property
    def reply(self) -> bool | None:
        """Whether it goes against the direction the connection was opened in; `None` if unknown."""
        return self.flow.is_reply.value if self.flow.HasField("is_reply") else None

    @property
    def encrypted(self) -> bool:
        """Whether it is encrypted between nodes."""
        return self.flow.IP.encrypted

    @property
    def interface(self) -> str:
        """The name of the interface, or its number where it has none."""
        interface = self.flow.interface
        return interface.name or (str(interface.index) if interface.index else "")

    @property
    def protocol(self) -> str:
        """The transport protocol in lower case, such as `tcp` or `icmpv6`."""
        return (self.flow.l4.WhichOneof("protocol") or "").lower()

    @property
    def tcp_flags(self) -> tuple[str, ...]:
        """Flags of the TCP header that are set, such as `("SYN", "ACK")`."""
        flags = self.flow.l4.TCP.flags
        return tuple(name for name in _TCP_FLAGS if getattr(flags, name))

    @property
    def http(self) -> HTTP | None:
        """The HTTP request or response, if it is one."""
        return self.flow.l7.http if self.flow.l7.WhichOneof("record") == "http" else None

    @property
    def dns(self) -> DNS | None:
        """The DNS query or answer, if it is one."""
        return self.flow.l7.dns if self.flow.l7.WhichOneof("record") == "dns" else None

    @property
    def latency(self) -> timedelta | None:
        """How long a response of an application took; `None` for all else."""
        latency_ns = self.flow.l7.latency_ns
        return timedelta(microseconds=latency_ns / 1000) if latency_ns else None

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies that allowed or denied it."""
        flow = self.flow
        return (
            *flow.egress_allowed_by,
            *flow.ingress_allowed_by,
            *flow.egress_denied_by,
            *flow.ingress_denied_by,
        )

    @property
    def summary(self) -> str:
        """The transport header in words. As it came: not made safe for a terminal."""
        return self.flow.Summary

    def to_dict(self) -> dict[str, Any]:
        """The flow as `palomar.to_dict` gives it."""
        from palomar.protojson import to_dict  # noqa: PLC0415 - few need it

        return to_dict(self.flow)

    def __str__(self) -> str:
        """One line, safe for a terminal."""
        parts = [
            f"{self.source} -> {self.destination}",
            self.protocol,
            self.verdict,
            f"({self.drop_reason})" if self.drop_reason else "",
            visible(self.summary),
        ]
        return " ".join(part for part in parts if part)

    def __repr__(self) -> str:
        return f"<FlowView {self}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FlowView) and self.flow == other.flow

    __hash__ = None  # type: ignore[assignment]  # messages are mutable, so they have no hash either


def _named(names: Mapping[Any, str], number: int) -> str:
    return names.get(number) or str(number)
