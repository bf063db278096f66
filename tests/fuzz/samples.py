"""A sound payload of every kind: what the fuzzer damages, and what it puts beside the damaged."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from palomar_bpf.payload import (
    DEBUG_CAPTURE_HEAD,
    DROP_FLAG_GENEVE,
    DROP_FLAG_VXLAN,
    POLICY_VERDICT_HEAD,
    TRACE_HEAD_V1,
    TRACE_HEAD_V2,
    TRACE_SOCK_HEAD,
    MessageType,
)
from palomar_proto.monitor import agent_notice
from palomar_server.table import Protocol
from palomar_server.testing import drop_payload, packet, trace_payload, transport

POD, POD6 = "10.0.0.10", "fd00::a"
OTHER, OTHER6 = "192.0.2.1", "2001:db8::1"
_VXLAN_PORT, _GENEVE_PORT = 8472, 6081
_ARP = b"\x08\x06"


def _head(dtype: np.dtype[np.void], **fields: Any) -> bytes:
    head = np.zeros(1, dtype)
    for name, value in fields.items():
        head[name] = value
    return head.tobytes()


def _tunnelled(port: int, header: bytes, inner: bytes) -> bytes:
    body = header + inner
    udp = struct.pack(">HHHH", 40_000, port, 8 + len(body), 0)
    return packet("10.1.0.1", "10.1.0.2", Protocol.UDP, udp + body)


def _transports() -> dict[int, bytes]:
    sizes = (Protocol.TCP, Protocol.UDP, Protocol.SCTP, Protocol.ICMP, Protocol.ICMPV6)
    return {
        **{one: transport(one) for one in sizes},
        Protocol.IGMP: struct.pack(">BBHI", 0x16, 0, 0, 0xE0000001),
        Protocol.VRRP: struct.pack(">BBBBBBHI", 0x21, 1, 100, 1, 0, 1, 0, 0x0A000001) + bytes(8),
    }


def packets() -> list[bytes]:
    """A packet of every protocol."""
    bodies = _transports()
    tcp = bodies[Protocol.TCP]
    options = struct.pack(">BBBBHH", 2, 4, 5, 180, 0x0101, 0x0101)
    with_options = tcp[:12] + b"\x70\x02" + tcp[14:] + options
    hop_by_hop = struct.pack(">BB6x", Protocol.TCP, 0)
    plain = packet(POD, OTHER)
    return [
        *(packet(POD, OTHER, protocol, body) for protocol, body in bodies.items()),
        *(packet(POD6, OTHER6, protocol, body) for protocol, body in bodies.items()),
        packet(POD, OTHER, Protocol.TCP, with_options),
        packet(POD6, OTHER6, 0, hop_by_hop + tcp),
        packet(POD, OTHER, 4, packet(POD, OTHER, ethernet=False)),
        packet(POD, OTHER, 41, packet(POD6, OTHER6, ethernet=False)),
        plain[:12] + b"\x81\x00\x00\x05" + plain[12:],
        plain[:12] + _ARP + bytes(28),
        plain[:12] + b"\x88\xcc" + bytes(8),
    ]


def payloads() -> list[bytes]:
    """A monitor message of every kind, and of every packet; each becomes one event."""
    some = packets()
    plain, plain6 = some[0], packet(POD6, OTHER6)
    vxlan = _tunnelled(_VXLAN_PORT, b"\x08\x00\x00\x00\x00\x00\x07\x00", plain)
    geneve = _tunnelled(_GENEVE_PORT, b"\x00\x00\x65\x58\x00\x00\x07\x00", plain6)
    extension: dict[str, int | bytes] = {"time_ns": 1, "cgroup_id": 7}
    common = {"source": 1001, "len_orig": len(plain), "len_cap": len(plain)}
    # 192.0.2.7 as it stands in memory.
    original = int.from_bytes(b"\xc0\x00\x02\x07".ljust(8, b"\x00"), "big")
    trace = {"type": MessageType.TRACE, **common, "orig_ip_hi": original}
    verdict = {"type": MessageType.POLICY_VERDICT, **common, "version": 1, "flags": 0x0A}
    return [
        *(trace_payload(one, source=1001, ifindex=2) for one in some),
        *(drop_payload(one, subtype=133) for one in some[:4]),
        trace_payload(vxlan, flags=DROP_FLAG_VXLAN),
        drop_payload(geneve, subtype=140, flags=DROP_FLAG_GENEVE),
        trace_payload(plain, extension=extension),
        drop_payload(plain6, extension=extension),
        _head(TRACE_HEAD_V1, **trace, version=1) + plain,
        _head(TRACE_HEAD_V2, **trace, version=2, ip_trace_id=9) + plain,
        _head(POLICY_VERDICT_HEAD, **verdict) + plain,
        _head(POLICY_VERDICT_HEAD, **verdict, verdict=-133) + plain,
        _head(DEBUG_CAPTURE_HEAD, type=MessageType.DEBUG_CAPTURE, subtype=4, arg1=2) + plain,
        _head(TRACE_SOCK_HEAD, type=MessageType.TRACE_SOCK, subtype=1, protocol=1, dst_port=80),
        agent_notice.encode(agent_notice.NoticeType.ENDPOINT_CREATED, {"id": 1001}),
        bytes((MessageType.DEBUG, 1)) + bytes(18),
    ]
