"""Payloads of any head and packets inside of packets, for the tests of the decoder."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from palomar_bpf.payload import (
    DEBUG_CAPTURE_HEAD,
    EXT_VERSION,
    EXTENSION,
    POLICY_VERDICT_HEAD,
    TRACE_HEAD_V1,
    TRACE_SOCK_HEAD,
    MessageType,
)
from palomar_server.decode.decoder import Decoded, Decoder
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.testing import batch_of, packet, trace_payload

if TYPE_CHECKING:
    from palomar_server.decode.options import DecodeOptions

V4 = ("192.0.2.1", "192.0.2.2")
V6 = ("2001:db8::1", "2001:db8::2")
OUTER = ("198.51.100.1", "198.51.100.2")
FRAME = bytes.fromhex("0102030405060a0b0c0d0e0f")
"""MAC addresses, without an ethertype."""


def message(head: np.dtype[np.void], content: bytes = b"", **fields: Any) -> bytes:
    """A payload with this head, whose other fields are zero."""
    heads = np.zeros(1, head)
    for name, value in fields.items():
        heads[name] = value
    return heads.tobytes() + content


def trace_v1(content: bytes, original: bytes = b"", **fields: Any) -> bytes:
    """A trace message with room for a source address before translation."""
    hi, lo = struct.unpack(">QQ", original.ljust(16, b"\0"))
    return message(
        TRACE_HEAD_V1,
        content,
        type=MessageType.TRACE,
        version=1,
        orig_ip_hi=hi,
        orig_ip_lo=lo,
        **fields,
    )


def policy_verdict(content: bytes, **fields: Any) -> bytes:
    """A policy verdict."""
    return message(POLICY_VERDICT_HEAD, content, type=MessageType.POLICY_VERDICT, **fields)


def capture(content: bytes, **fields: Any) -> bytes:
    """A debug capture."""
    return message(DEBUG_CAPTURE_HEAD, content, type=MessageType.DEBUG_CAPTURE, **fields)


def trace_sock(address: bytes, **fields: Any) -> bytes:
    """A socket translation."""
    hi, lo = struct.unpack(">QQ", address.ljust(16, b"\0"))
    fields |= {"dst_ip_hi": hi, "dst_ip_lo": lo}
    return message(TRACE_SOCK_HEAD, type=MessageType.TRACE_SOCK, **fields)


def of_ours(payload: bytes, head_bytes: int) -> bytes:
    """The same trace or drop message as if palomar's own programs had made it."""
    head = bytearray(payload[:head_bytes])
    content = payload[head_bytes:]
    head[12:14] = struct.pack("<H", len(content))
    head[15] = EXT_VERSION
    return bytes(head) + bytes(EXTENSION.itemsize) + content


def udp(payload: bytes, source_port: int = 50_000, destination_port: int = 8472) -> bytes:
    """A UDP datagram."""
    return struct.pack(">HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def vxlan(inner: bytes, vni: int = 77) -> bytes:
    """A VXLAN header with a frame behind it."""
    return struct.pack(">II", 0x08000000, vni << 8) + inner


def geneve(inner: bytes, vni: int = 77, ethertype: int = 0x6558, options: bytes = b"") -> bytes:
    """A Geneve header with a packet behind it."""
    return struct.pack(">BBHI", len(options) // 4, 0, ethertype, vni << 8) + options + inner


def tunnelled(inner: bytes) -> bytes:
    """A frame of a tunnel, given what is behind the UDP header."""
    return packet(*OUTER, 17, udp(inner))


def decode(*payloads: bytes, options: DecodeOptions | None = None) -> Decoded:
    """Decode payloads as one batch, where nothing is known of the surroundings."""
    return Decoder(Surroundings(EndpointTable()), options).decode(batch_of(payloads))


def one(payload: bytes, *beside: bytes) -> Any:
    """The row of a payload, or why it is malformed; `beside` are in the same batch, and sound."""
    decoded = decode(payload, *beside)
    if len(decoded.rows) == 1 + len(beside):
        return decoded.rows[0]
    [(_, reason)] = decoded.malformed
    return reason


def of_packet(content: bytes, *beside: bytes) -> Any:
    """The row of a packet in a trace message that is not ours, or why it is malformed."""
    return one(trace_payload(content), *map(trace_payload, beside))


def rows_of(decoded: Decoded) -> list[bytes]:
    """The rows as bytes, without what depends on the other events of their batch."""
    rows = decoded.rows.copy()
    for column in ("interface", "drop_site", "message"):
        rows[column] = 0
    return [row.tobytes() for row in rows]
