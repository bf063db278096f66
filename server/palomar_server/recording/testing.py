"""A source of packets for tests: what is pushed is matched as the kernel's programs do it."""

from __future__ import annotations

import ipaddress
import struct
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.capture_rule import PACKET_SNAPLEN_BYTES_MAX, CaptureRule, PacketPoint
from palomar_bpf.packet_batch import PacketBatch, pack_rules
from palomar_bpf.payload import (
    DROP_FLAG_L3_DEVICE,
    DROP_HEAD,
    EXTENSION,
    TRACE_HEAD,
    MessageType,
    ObservationPoint,
)
from palomar_server.testing import START_NS, drop_payload, trace_payload

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

_ETHERNET_BYTES = 14
_PORTS = frozenset({6, 17, 132})
_EXTENSIONS = frozenset({0, 43, 60})
"""IPv6 headers with their length in the second byte: hop-by-hop, routing, destination options."""
_INGRESS = frozenset({ObservationPoint.FROM_ENDPOINT, ObservationPoint.FROM_NETWORK})


def recorded(
    packet: bytes,
    *,
    time_ns: int = START_NS,
    ifindex: int = 0,
    point: int = ObservationPoint.TO_ENDPOINT,
    original_bytes: int = 0,
) -> bytes:
    """The message of a packet that was seen, as programs/record.c sends it.

    Args:
        packet: the captured bytes, an Ethernet frame.
        time_ns: when; UTC where the surroundings say nothing of the boot clock.
        ifindex: where.
        point: `ObservationPoint`.
        original_bytes: how long it was; 0 for what is captured.
    """
    return trace_payload(
        packet,
        point=point,
        ifindex=ifindex,
        extension={"time_ns": time_ns},
        len_orig=original_bytes or len(packet),
    )


def dropped(
    packet: bytes,
    *,
    time_ns: int = START_NS,
    ifindex: int = 0,
    interface: str = "",
    reason: int = 0,
    location: int = 0,
) -> bytes:
    """The message of a packet that the kernel dropped.

    Args:
        packet: the captured bytes, an Ethernet frame.
        time_ns: when; UTC where the surroundings say nothing of the boot clock.
        ifindex: where.
        interface: name of the device.
        reason: the kernel's number.
        location: address of the kernel function.
    """
    return drop_payload(
        packet,
        ifindex=ifindex,
        extension={
            "time_ns": time_ns,
            "interface": interface.encode(),
            "drop_reason": reason,
            "location": location,
        },
    )


class FakePacketSource:
    """The kernel's part, without a kernel: see `packet_source.PacketSource`.

    Args:
        capacity_bytes: of its ring; what does not fit is lost and counted by rule.
    """

    def __init__(self, capacity_bytes: int = 1 << 24) -> None:
        self.rules: dict[int, CaptureRule] = {}
        """Those that are active."""
        self.snaplen_bytes = 0
        self.snaplen_bytes_max = PACKET_SNAPLEN_BYTES_MAX
        self.history: list[dict[int, CaptureRule]] = []
        """What `set_rules` was called with."""
        self.groups: list[frozenset[int]] = []
        """Rules of which a lost packet counts for one."""
        self.refuse: Exception | None = None
        """Raised by the next `set_rules`."""
        self.refuse_all: Exception | None = None
        """Raised by each `set_rules` from now on."""
        self.fail: Exception | None = None
        """Raised by `read` from now on."""
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._held: deque[tuple[bytes, list[int]]] = deque()
        self._lost: dict[int, tuple[int, int]] = {}
        self._woken = False
        self._changed = threading.Condition()

    def set_rules(self, rules: Mapping[int, CaptureRule], snaplen_bytes: int) -> None:
        """See `packet_source.PacketSource`."""
        with self._changed:
            if self.refuse is not None:
                error, self.refuse = self.refuse, None
                raise error
            if self.refuse_all is not None:
                raise self.refuse_all
            if rules and not 1 <= snaplen_bytes <= self.snaplen_bytes_max:
                raise ValueError(f"snaplen_bytes is {snaplen_bytes}")
            for number in rules.keys() - self.rules.keys():
                self._lost[number] = (0, 0)
            self.rules = dict(rules)
            self.snaplen_bytes = snaplen_bytes
            self.history.append(dict(rules))

    def count_together(self, groups: Iterable[Collection[int]]) -> None:
        """See `packet_source.PacketSource`."""
        with self._changed:
            self.groups = [frozenset(group) for group in groups]

    def push(self, *payloads: bytes, numbers: Iterable[int] | None = None) -> int:
        """Have packets seen: those that match no rule are not.

        Args:
            payloads: messages, as of `recorded` and `dropped`.
            numbers: what they match, instead of what they do.

        Returns:
            How many were taken.
        """
        taken = 0
        with self._changed:
            for payload in payloads:
                matched = (
                    [number for number, rule in self.rules.items() if matches(rule, payload)]
                    if numbers is None
                    else list(numbers)
                )
                if not matched:
                    continue
                cut = cut_payload(payload, self.snaplen_bytes)
                if self._held_bytes + len(cut) > self._capacity_bytes:
                    self._lose(matched, len(cut) - head_bytes(cut))
                    continue
                self._held.append((cut, matched))
                self._held_bytes += len(cut)
                taken += 1
            self._changed.notify_all()
        return taken

    def lose(self, packets: int, captured_bytes: int) -> None:
        """Count a loss for each rule that is active."""
        with self._changed:
            for number in self.rules:
                before = self._lost[number]
                self._lost[number] = (before[0] + packets, before[1] + captured_bytes)

    def read(self, timeout_s: float | None) -> PacketBatch | None:
        """See `packet_source.PacketSource`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._held or self._woken or self.fail is not None, timeout_s
            )
            self._woken = False
            if self.fail is not None:
                raise self.fail
            if not self._held:
                return None
            held = list(self._held)
            self._held.clear()
            self._held_bytes = 0
        return batch_of_packets([payload for payload, _ in held], [numbers for _, numbers in held])

    def wake(self) -> None:
        """See `packet_source.PacketSource`."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def lost(self) -> Mapping[int, tuple[int, int]]:
        """See `packet_source.PacketSource`; rules that are gone are still there."""
        with self._changed:
            return dict(self._lost)

    def _lose(self, numbers: Sequence[int], captured_bytes: int) -> None:
        left = [
            number
            for number in set(numbers)
            if not any(
                number in group and min(group & {*numbers}) < number for group in self.groups
            )
        ]
        for number, count in Counter(left).items():
            packets, before = self._lost.get(number, (0, 0))
            self._lost[number] = (packets + count, before + captured_bytes)


def batch_of_packets(payloads: Sequence[bytes], numbers: Sequence[Sequence[int]]) -> PacketBatch:
    """A batch of messages and the numbers of the rules that each of them matched."""
    return PacketBatch(
        PayloadBatch.of(payloads, received_ns=time.time_ns()), pack_rules(list(numbers))
    )


def head_bytes(payload: bytes) -> int:
    """Bytes in front of the packet of one of palomar's own messages."""
    head = DROP_HEAD if payload[0] == MessageType.DROP else TRACE_HEAD
    return head.itemsize + EXTENSION.itemsize


def cut_payload(payload: bytes, snaplen_bytes: int) -> bytes:
    """The message with no more than so many bytes of its packet."""
    start = head_bytes(payload)
    captured = min(len(payload) - start, snaplen_bytes)
    head = np.frombuffer(payload[: TRACE_HEAD.itemsize], TRACE_HEAD).copy()
    head["len_cap"] = captured
    return head.tobytes() + payload[TRACE_HEAD.itemsize : start + captured]


def matches(rule: CaptureRule, payload: bytes) -> bool:
    """Whether a message is of a packet that matches a rule, as the kernel's programs decide it."""
    dtype = DROP_HEAD if payload[0] == MessageType.DROP else TRACE_HEAD
    head = np.frombuffer(payload[: dtype.itemsize], dtype)[0]
    if _point(head) not in rule.points:
        return False
    if rule.ifindexes and int(head["ifindex"]) not in rule.ifindexes:
        return False
    packet = payload[head_bytes(payload) :]
    is_raw = bool(head["flags"] & DROP_FLAG_L3_DEVICE)
    source, destination, protocol, ports = _ends(packet if is_raw else packet[_ETHERNET_BYTES:])
    for networks, address in ((rule.sources, source), (rule.destinations, destination)):
        if networks and not any(
            address is not None and address.version == network.version and address in network
            for network in networks
        ):
            return False
    for wanted, port in zip((rule.source_ports, rule.destination_ports), ports, strict=True):
        if wanted and port not in wanted:
            return False
    return not rule.protocols or protocol in rule.protocols


def _point(head: np.void) -> PacketPoint:
    if head["type"] == MessageType.DROP:
        return PacketPoint.DROP
    return PacketPoint.INGRESS if head["subtype"] in _INGRESS else PacketPoint.EGRESS


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _ends(
    packet: bytes,
) -> tuple[_Address | None, _Address | None, int | None, tuple[int | None, int | None]]:
    """Source, destination, protocol and ports of an IP packet, as far as it has them."""
    nothing = (None, None, None, (None, None))
    version = packet[0] >> 4 if packet else 0
    source: _Address
    destination: _Address
    if version == 4 and len(packet) >= 20:  # noqa: PLR2004 - RFC 791
        source, destination = (ipaddress.IPv4Address(packet[at : at + 4]) for at in (12, 16))
        protocol, behind = packet[9], (packet[0] & 15) * 4
        is_later = struct.unpack(">H", packet[6:8])[0] & 0x1FFF
    elif version == 6 and len(packet) >= 40:  # noqa: PLR2004 - RFC 8200
        source, destination = (ipaddress.IPv6Address(packet[at : at + 16]) for at in (8, 24))
        protocol, behind, is_later = packet[6], 40, 0
        while protocol in _EXTENSIONS and len(packet) >= behind + 8:
            protocol, behind = packet[behind], behind + 8 + packet[behind + 1] * 8
    else:
        return nothing
    if protocol not in _PORTS or is_later or len(packet) < behind + 4:
        return source, destination, protocol, (None, None)
    source_port, destination_port = struct.unpack(">HH", packet[behind : behind + 4])
    return source, destination, protocol, (source_port, destination_port)
