"""A ring with packets of one connection, for the tests of Explain."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.payload import POLICY_VERDICT_HEAD, MessageType
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import explanation_pb2
from palomar_server.explain.explainer import Explainer, ExplainLimits
from palomar_server.table import Protocol
from palomar_server.testing import ACK, SYN, Core, batch_of, drop_payload, packet, transport

if TYPE_CHECKING:
    from palomar_proto.palomar.v1.explanation_pb2 import ExplainRequest, ExplainResponse

CLIENT, SERVER, ROUTER = "192.0.2.1", "203.0.113.9", "198.51.100.254"
CLIENT_PORT, PORT = 40_000, 443
KERNEL_REASONS = {5: "NO_SOCKET", 6: "NETFILTER_DROP", 7: "PKT_TOO_BIG", 8: "TCP_OLD_DATA"}
"""Those of a kernel made up for the tests."""
SITE = 0xFFFF_0000


def content(
    flags: int = SYN,
    *,
    back: bool = False,
    port: int = CLIENT_PORT,
    protocol: int = Protocol.TCP,
    payload: bytes = b"",
) -> bytes:
    """A packet of the connection."""
    ends, ports = (CLIENT, SERVER), (port, PORT)
    if back:
        ends, ports = ends[::-1], ports[::-1]
    return packet(*ends, protocol, transport(protocol, *ports, tcp_flags=flags) + payload)


def too_big(mtu: int = 1400, *, port: int = CLIENT_PORT) -> bytes:
    """The router's message that a packet of the client was too big."""
    quoted = content(ACK, port=port)[14:]
    body = struct.pack(">BBHI", 3, 4, 0, mtu) + quoted
    return packet(ROUTER, CLIENT, Protocol.ICMP, body)


def icmp_error(icmp_type: int, code: int) -> bytes:
    """Another message of the router about the client's packet."""
    body = struct.pack(">BBHI", icmp_type, code, 0, 0) + content()[14:]
    return packet(ROUTER, CLIENT, Protocol.ICMP, body)


def kernel_drop(what: bytes, reason: int = 6) -> bytes:
    """A drop by the kernel."""
    return drop_payload(what, extension={"drop_reason": reason, "location": SITE})


def cilium_drop(what: bytes, reason: int = flow_pb2.POLICY_DENIED, source: int = 0) -> bytes:
    """A drop by Cilium's datapath."""
    return drop_payload(what, subtype=reason, source=source, file=2, line=1234)


def verdict(what: bytes, number: int = -133, *, ingress: bool = True) -> bytes:
    """A policy verdict."""
    head = np.zeros(1, POLICY_VERDICT_HEAD)
    head["type"] = MessageType.POLICY_VERDICT
    head["len_orig"] = head["len_cap"] = len(what)
    head["verdict"] = number
    head["flags"] = 1 if ingress else 2
    return head.tobytes() + what


class Bench:
    """A server that explains, and its clock."""

    def __init__(self, capacity: int = 255, limits: ExplainLimits | None = None) -> None:
        self.core = Core(capacity=capacity, find_symbol={SITE: "nft_do_chain"}.get)  # type: ignore[arg-type]
        reasons = {str(number): name for number, name in KERNEL_REASONS.items()}
        # So that the kernel's time zero is when the first batch comes.
        self.core.surroundings.apply({"reasons": reasons})
        self.explainer = Explainer(
            self.core.ring,
            self.core.encoder,
            self.core.surroundings,
            limits=limits or ExplainLimits(),
        )

    def see(self, *payloads: bytes, at_s: float = 0) -> Bench:
        """Take payloads in, as one batch received so long after the first."""
        received_ns = 1_000_000_000 + int(at_s * 1_000_000_000)
        self.core.surroundings.apply({"boot_offset_ns": received_ns})
        self.core.pipeline.consume(batch_of(payloads, received_ns=received_ns))
        return self

    def explain(self, request: ExplainRequest | None = None) -> ExplainResponse:
        """The answer; by default about the last drop."""
        if request is None:
            request = explanation_pb2.ExplainRequest()
            request.last.SetInParent()
        return asyncio.run(self.explainer.explain(request))

    def explain_any(self) -> ExplainResponse:
        """The answer about the last flow, dropped or not."""
        request = explanation_pb2.ExplainRequest()
        request.last.any_verdict = True
        return self.explain(request)
