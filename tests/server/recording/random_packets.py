"""Random packets of a small world: tags, fragments, extension headers, packets in packets, cuts."""

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from palomar_recorder.packets import LINKTYPE_ETHERNET, LINKTYPE_RAW, Interface, Packets
from palomar_server.table import Protocol
from palomar_server.testing import transport

if TYPE_CHECKING:
    from collections.abc import Sequence

IPV4 = ("10.0.0.1", "10.0.0.2", "192.0.2.1")
IPV6 = ("fd00::1", "fd00::2", "2001:db8::1")
PORTS = (0, 53, 80, 40_000)
INTERFACES = (Interface("eth0", LINKTYPE_ETHERNET), Interface("wg0", LINKTYPE_RAW))
_PROTOCOLS = (*(int(one) for one in Protocol), 50, 59)
_EXTENSIONS = (0, 43, 44, 51, 60)
_IP_IN_IP = {4: 4, 6: 41}


def packets_of(
    frames: Sequence[bytes],
    *,
    raw: Sequence[bool] | None = None,
    captured: Sequence[int] | None = None,
) -> Packets:
    """Packets with a byte between each two, of an Ethernet interface or, where raw, another."""
    lengths = np.array([len(one) for one in frames], np.int64)
    count = len(frames)
    return Packets(
        buffer=np.frombuffer(b"\xee".join(frames) + bytes(8), np.uint8),
        offsets=np.cumsum(lengths + 1) - lengths - 1,
        captured_bytes=lengths if captured is None else np.array(captured, np.int64),
        original_bytes=lengths,
        times_ns=np.arange(count, dtype=np.int64),
        interfaces=np.zeros(count, np.uint32) if raw is None else np.array(raw, np.uint32),
        notes=np.zeros(count, np.uint32),
        interface_table=INTERFACES,
    )


@st.composite
def ip_packets(draw: st.DrawFn, depth: int = 1) -> tuple[int, bytes]:
    """(IP version, bytes)."""
    version = draw(st.sampled_from((4, 6)))
    if depth and draw(st.integers(0, 5)) == 0:
        inner, body = draw(ip_packets(depth=depth - 1))
        protocol = _IP_IN_IP[inner]
    else:
        protocol = draw(st.sampled_from(_PROTOCOLS))
        ports = draw(st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS)))
        body = transport(protocol, *ports, tcp_flags=draw(st.integers(0, 255)))
        body += bytes(draw(st.integers(0, 8)))
    pool = IPV4 if version == 4 else IPV6
    ends = b"".join(
        ipaddress.ip_address(draw(st.sampled_from(pool))).packed for _ in ("source", "destination")
    )
    offset = draw(st.sampled_from((0, 0, 0, 1)))
    if version == 4:
        options = bytes([1] * 4 * draw(st.sampled_from((0, 0, 1))))
        size = 20 + len(options)
        header = struct.pack(
            ">BBHHHBBH",
            *(0x40 | size // 4, 0, size + len(body), 1, offset, 64, protocol, 0),
        )
        return 4, header + ends + options + body
    chain = b""
    for kind in draw(st.lists(st.sampled_from(_EXTENSIONS), max_size=2)):
        if kind == 44:
            chain = _extension(protocol, offset << 3) + chain
        else:
            # Padding of four bytes, and none of other kinds.
            chain = bytes([protocol, 0, 1, 4, 0, 0, 0, 0]) + chain
        protocol = kind
    payload = chain + body
    return 6, struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload


def _extension(following: int, offset: int) -> bytes:
    return struct.pack(">BBHI", following, 0, offset, 7)


@st.composite
def frames(draw: st.DrawFn) -> tuple[bytes, bool]:
    """(Bytes, whether they begin with the IP header); cut short now and then."""
    version, content = draw(ip_packets())
    raw = draw(st.booleans())
    if not raw:
        ethertype = 0x0800 if version == 4 else 0x86DD
        if draw(st.integers(0, 9)) == 0:
            ethertype = 0x0806
        tags = draw(st.sampled_from((0, 0, 0, 1, 2, 3)))
        header = bytes.fromhex("020000000002020000000001") + b"\x81\0\0\x05" * tags
        content = header + struct.pack(">H", ethertype) + content
    if draw(st.integers(0, 5)) == 0:
        content = content[: draw(st.integers(1, len(content)))]
    return content, raw
