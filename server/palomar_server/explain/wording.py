"""The words for a packet, its two ends and the place where it was dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_server.explain.reasons import reason_name
from palomar_server.surroundings import KERNEL_DROP_REASON_BASE

if TYPE_CHECKING:
    from palomar_proto.flow.flow_pb2 import Endpoint, Flow

_KERNEL_OTHER = "KERNEL_OTHER"


def drop_reason(flow: Flow) -> str:
    """Name of a dropped flow's reason, as precise as it is known."""
    name = reason_name(flow.drop_reason_desc)
    if name != _KERNEL_OTHER:
        return name
    # A reason that only this node's kernel has: the summary ends with it.
    return flow.Summary.rpartition("; ")[2].partition(" at ")[0] or name


def end_name(endpoint: Endpoint, address: str) -> str:
    """Such as `shop/cart-0 (10.0.0.11)`, or the address alone."""
    if not endpoint.pod_name:
        return address or "an unknown address"
    name = "/".join(filter(None, (endpoint.namespace, endpoint.pod_name)))
    return f"{name} ({address})" if address else name


def source_name(flow: Flow) -> str:
    """The sender of a packet."""
    return end_name(flow.source, flow.IP.source)


def destination_name(flow: Flow) -> str:
    """Where a packet was going."""
    return end_name(flow.destination, flow.IP.destination)


def port_text(flow: Flow) -> str:
    """Such as ` port 8080/TCP`; empty for protocols without ports."""
    name = flow.l4.WhichOneof("protocol")
    if name not in {"TCP", "UDP", "SCTP"}:
        return ""
    return f" port {getattr(flow.l4, name).destination_port}/{name}"


def packet_name(flow: Flow) -> str:
    """Such as `A packet (TCP Flags: SYN)`."""
    what = flow.Summary.partition("; ")[0]
    return f"A packet ({what})" if what else "A packet"


def place(flow: Flow) -> str:
    """Where it was dropped, such as ` in nft_do_chain of the kernel`; empty if not known."""
    if flow.drop_reason_desc >= KERNEL_DROP_REASON_BASE:
        return f" in the kernel's {flow.file.name}" if flow.file.name else " in the kernel"
    if flow.event_type.type and flow.file.name:
        line = f":{flow.file.line}" if flow.file.line else ""
        return f" by Cilium's datapath ({flow.file.name}{line})"
    return " by Cilium's datapath"


def drop_headline(flow: Flow) -> str:
    """What happened to a dropped packet."""
    return (
        f"{packet_name(flow)} from {source_name(flow)} to {destination_name(flow)}"
        f"{port_text(flow)} was dropped{place(flow)}: {drop_reason(flow)}."
    )


def direction_name(direction: int) -> str:
    """`ingress`, `egress` or `some direction`."""
    names = {int(flow_pb2.INGRESS): "ingress", int(flow_pb2.EGRESS): "egress"}
    return names.get(direction, "some direction")
