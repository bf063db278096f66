"""Random packets as they come up from the kernel, with the flows that they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from palomar_bpf.capture_rule import PacketPoint
from palomar_bpf.payload import DROP_FLAG_IPV6, DROP_FLAG_L3_DEVICE, ObservationPoint, TraceReason
from palomar_server.decode.decoder import Decoder
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.testing import START_NS, batch_of, drop_payload, trace_payload
from palomar_server.view import View
from tests.server.recording.random_packets import frames, packets_of

if TYPE_CHECKING:
    from palomar_recorder.packets import Packets

LINKS = {1: "eth0", 2: "lxc1", 3: "lxc2"}
CONTEXT = {
    "boot_offset_ns": START_NS,
    "reasons": {"2": "NO_SOCKET", "6": "SOCKET_FILTER"},
    "links": {str(index): name for index, name in LINKS.items()},
    "endpoints": {
        "web": {
            "at_ns": START_NS,
            "addresses": ["10.0.0.1", "fd00::1"],
            "id": 1,
            "identity": 256,
            "namespace": "default",
            "pod_name": "web",
            "labels": ["k8s:app=web"],
            "workloads": [["web", "Deployment"]],
        },
        "cart": {
            "at_ns": START_NS,
            "addresses": ["10.0.0.2"],
            "id": 2,
            "identity": 257,
            "namespace": "shop",
            "pod_name": "cart-0",
            "labels": ["k8s:app=cart"],
        },
        "office": {
            "at_ns": START_NS,
            "addresses": ["2001:db8::/32", "10.0.0.0/8"],
            "identity": 16_777_217,
            "labels": ["cidr:2001:db8--/32"],
        },
    },
}


@dataclass(frozen=True, slots=True)
class Captured:
    """One packet."""

    content: bytes
    is_raw: bool
    point: PacketPoint
    ifindex: int
    reason: int

    def payload(self) -> bytes:
        """The message that it comes up as."""
        is_ipv6 = self.is_raw and self.content[:1] and self.content[0] >> 4 == 6
        flags = (DROP_FLAG_L3_DEVICE if self.is_raw else 0) | (DROP_FLAG_IPV6 if is_ipv6 else 0)
        if self.point is PacketPoint.DROP:
            return drop_payload(
                self.content,
                ifindex=self.ifindex,
                flags=flags,
                extension={"drop_reason": self.reason},
            )
        is_in = self.point is PacketPoint.INGRESS
        return trace_payload(
            self.content,
            point=ObservationPoint.FROM_ENDPOINT if is_in else ObservationPoint.TO_ENDPOINT,
            reason=(TraceReason.NEW, TraceReason.REPLY, TraceReason.UNKNOWN)[self.reason % 3],
            source=1,
            ifindex=self.ifindex,
            flags=flags,
            extension={},
        )


CAPTURES = st.lists(
    st.builds(
        lambda frame, point, ifindex, reason: Captured(frame[0], frame[1], point, ifindex, reason),
        frames(),
        st.sampled_from(PacketPoint),
        st.sampled_from((1, 2, 3, 9)),
        st.sampled_from((0, 2, 6)),
    ),
    min_size=1,
    max_size=8,
)


def new_surroundings() -> Surroundings:
    """Knows three interfaces, two pods, and an office of both IP versions."""
    surroundings = Surroundings(EndpointTable())
    surroundings.apply(CONTEXT)
    return surroundings


def new_encoder(surroundings: Surroundings) -> FlowEncoder:
    """Of a node."""
    return FlowEncoder(surroundings, "default/node", ("zone=a",), run_id=1)


def decoded(captured: list[Captured], surroundings: Surroundings) -> tuple[View, Packets]:
    """Flows and packets."""
    rows = Decoder(surroundings).decode(batch_of([one.payload() for one in captured])).rows
    assert len(rows) == len(captured)
    view = View(rows, 0, lambda _: b"", new_encoder(surroundings), in_ring=False)
    packets = packets_of([one.content for one in captured], raw=[one.is_raw for one in captured])
    return view, packets
