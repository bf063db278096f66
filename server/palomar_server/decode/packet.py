"""Ethernet, IP and transport headers, by columns.

The rules are those Hubble's packet decoder follows, so that both see the same flow: the IP length
bounds the transport header, a header that does not fit makes the event malformed, a protocol that
is not decoded ends the flow at the layer before.

Events of palomar's own programs are spared: a packet that is damaged is often dropped for just
that, and a short capture cuts headers that are sound. Those keep the layers that do fit.
Sources: IEEE 802.3, RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 9260, RFC 792, RFC 4443.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.address import MAPPED_PREFIX_LO
from palomar_server.decode.gather import gather
from palomar_server.decode.malformed import Malformed
from palomar_server.table import FLOW, Flag, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.decode.heads import PacketSpans
    from palomar_server.table import Rows

    _Which: TypeAlias = NDArray[np.intp] | slice

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD

ETHERNET = np.dtype([("destination", "u1", 6), ("source", "u1", 6), ("ethertype", ">u2")])
IPV4 = np.dtype(
    [
        ("version_ihl", "u1"),
        ("tos", "u1"),
        ("total_length", ">u2"),
        ("id", ">u2"),
        ("fragment", ">u2"),
        ("ttl", "u1"),
        ("protocol", "u1"),
        ("checksum", ">u2"),
        ("source", ">u4"),
        ("destination", ">u4"),
    ]
)
IPV6 = np.dtype(
    [
        ("version_class_label", ">u4"),
        ("payload_length", ">u2"),
        ("next_header", "u1"),
        ("hop_limit", "u1"),
        ("source_hi", ">u8"),
        ("source_lo", ">u8"),
        ("destination_hi", ">u8"),
        ("destination_lo", ">u8"),
    ]
)
TRANSPORT = np.dtype(
    [
        ("source_port", ">u2"),
        ("destination_port", ">u2"),
        ("udp_length", ">u2"),
        ("rest", "u1", 6),
        ("tcp_word", ">u2"),
    ]
)
"""The first 14 bytes of a transport header, read as TCP, but for the length that UDP has there;
`source_port` is ICMP's type and code."""

_HOP_BY_HOP = 0
_HOP_BY_HOP_MAX = 4
"""Hop-by-hop headers followed; RFC 8200 section 4.1 allows one."""
_IPV4_FRAGMENT_OFFSET = 0x1FFF
_NO_PROTOCOL = 255
"""Reserved by IANA: stands for a row without transport header."""
_MAPPED = np.uint64(MAPPED_PREFIX_LO)
_TCP_FLAGS = 0x1FF
_TCP_HEADER_BYTES_MIN = 20
_UDP_HEADER_BYTES = 8
# Looked up once: an enumeration member costs as much as a column operation on a small batch.
_PACKET, _ETHERNET = np.uint8(Flag.PACKET), np.uint8(Flag.ETHERNET)
_IP, _L4 = np.uint8(Flag.IP), np.uint8(Flag.L4)
_TCP, _UDP = int(Protocol.TCP), int(Protocol.UDP)
_ICMP, _ICMPV6 = int(Protocol.ICMP), int(Protocol.ICMPV6)
_VERSION_IPV4, _VERSION_IPV6 = int(flow_pb2.IPv4), int(flow_pb2.IPv6)


# Both MAC columns are moved as one, which they are in the header too.
_MACS_AT: int = np.dtype(FLOW.descr[: (FLOW.names or ()).index("destination_mac")]).itemsize
_FRAME_MACS = np.dtype([("macs", np.void, 12), ("ethertype", ">u2")])
_ROW_MACS = np.dtype(
    [
        ("before", np.void, _MACS_AT),
        ("macs", np.void, 12),
        ("behind", np.void, FLOW.itemsize - _MACS_AT - 12),
    ]
)
_KIND_TCP, _KIND_UDP, _KIND_ICMP = 1, 2, 4
_KINDS = np.zeros(256, np.uint8)
_KINDS[[_TCP, _UDP, _ICMP, _ICMPV6]] = (_KIND_TCP, _KIND_UDP, _KIND_ICMP, _KIND_ICMP)
_IP_CUT = np.zeros(256, np.bool_)
_IP_CUT[[Malformed.IPV4_TOO_SHORT, Malformed.IPV6_TOO_SHORT]] = True
_IP_COLUMNS = (
    *("source_hi", "source_lo", "destination_hi", "destination_lo", "ip_version", "protocol"),
)
_HEADER_BYTES = np.zeros(256, np.int64)
_TOO_SHORT = np.zeros(256, np.uint8)
for _protocol, _bytes, _fault in (
    (Protocol.TCP, _TCP_HEADER_BYTES_MIN, Malformed.TCP_TOO_SHORT),
    (Protocol.UDP, _UDP_HEADER_BYTES, Malformed.UDP_TOO_SHORT),
    (Protocol.SCTP, 12, Malformed.SCTP_TOO_SHORT),
    (Protocol.ICMP, 8, Malformed.ICMP_TOO_SHORT),
    (Protocol.ICMPV6, 4, Malformed.ICMP_TOO_SHORT),
):
    _HEADER_BYTES[_protocol] = _bytes
    _TOO_SHORT[_protocol] = _fault


def decode_packets(
    buffer: NDArray[np.uint8], spans: PacketSpans, rows: Rows, malformed: NDArray[np.uint8]
) -> None:
    """Fill the columns that come from the packet bytes.

    Args:
        buffer: shape (bytes,), dtype uint8, padded.
        spans: where each row's packet is.
        rows: n rows whose heads are decoded.
        malformed: shape (n,); gets a `Malformed` where a header does not fit.
    """
    packets = _Packets(buffer, spans, rows, malformed)
    packets.ethernet()
    packets.ipv4()
    packets.ipv6()
    packets.transport()
    packets.spare()


def _which(mask: NDArray[np.bool_]) -> _Which:
    """The rows of a mask; all of them as a slice, which numpy serves without copying."""
    return slice(None) if np.count_nonzero(mask) == len(mask) else mask.nonzero()[0]


class _Packets:
    """The packets of a batch while their layers are taken off, outermost first."""

    def __init__(
        self,
        buffer: NDArray[np.uint8],
        spans: PacketSpans,
        rows: Rows,
        malformed: NDArray[np.uint8],
    ) -> None:
        self._buffer = buffer
        self._spans = spans
        self._rows = rows
        self._malformed = malformed
        self._end = spans.end
        self._framed = False
        # Where the next layer starts and ends.
        self._at = spans.start.copy()
        self._at_end = spans.end.copy()
        self._protocol = np.full(len(rows), _NO_PROTOCOL, np.uint8)

    def ethernet(self) -> None:
        """Fill the MAC and ethertype columns."""
        rows, spans = self._rows, self._spans
        captured = spans.end - spans.start
        if int(captured.min()) > ETHERNET.itemsize and not np.count_nonzero(spans.l3):
            # Nearly all batches: every packet is a frame, and something is in each.
            self._framed = True
            self._take_frames(slice(None), _PACKET | _ETHERNET)
            return
        has_bytes = captured > 0
        rows["flags"] |= has_bytes.view(np.uint8) * _PACKET
        has_header = has_bytes > spans.l3
        short = has_header & (captured < ETHERNET.itemsize)
        if np.count_nonzero(short):
            self._malformed[short] = Malformed.ETHERNET_TOO_SHORT
            has_header &= ~short
        self._take_frames(_which(has_header), _ETHERNET)
        if np.count_nonzero(spans.l3):
            bare = (spans.l3 & has_bytes).nonzero()[0]
            rows["ethertype"][bare] = np.where(spans.ipv6[bare], ETHERTYPE_IPV6, ETHERTYPE_IPV4)

    def _take_frames(self, which: _Which, flags: np.uint8) -> None:
        rows = self._rows
        frames = gather(self._buffer, self._spans.start[which], ETHERNET)
        rows.view(_ROW_MACS)["macs"][which] = frames.view(_FRAME_MACS)["macs"]
        rows["ethertype"][which] = frames["ethertype"]
        rows["flags"][which] |= flags
        self._at[which] += ETHERNET.itemsize

    def _of_ethertype(self, ethertype: int) -> _Which | None:
        """The rows with a network header of that kind; None if there are none."""
        mask: NDArray[np.bool_] = self._rows["ethertype"] == ethertype
        found = np.count_nonzero(mask)
        if not found:
            return None
        if self._framed and found == len(mask):
            return slice(None)
        mask &= self._malformed == 0
        mask &= self._end > self._at
        return _which(mask)

    def ipv4(self) -> None:
        """Fill the network columns of IPv4 packets."""
        which, rows = self._of_ethertype(ETHERTYPE_IPV4), self._rows
        if which is None:
            return
        start, end = self._at[which], self._end[which]
        headers = gather(self._buffer, start, IPV4)
        rows["ip_version"][which] = _VERSION_IPV4
        for side in ("source", "destination"):
            rows[f"{side}_lo"][which] = headers[side].astype(np.uint64) | _MAPPED
        rows["protocol"][which] = headers["protocol"]
        rows["flags"][which] |= _IP
        total = headers["total_length"].astype(np.int64)
        plain = headers["version_ihl"] & 0x0F == IPV4.itemsize // 4
        plain &= headers["fragment"] & _IPV4_FRAGMENT_OFFSET == 0
        plain &= total >= IPV4.itemsize
        plain &= end - start >= IPV4.itemsize
        if np.count_nonzero(plain) == len(plain):
            # Nearly all batches: no options, no later fragments, nothing wrong. In this order, as
            # `start` is the memory of `_at` where `which` is a slice.
            self._at_end[which] = np.minimum(end, start + total)
            self._at[which] += IPV4.itemsize
            self._protocol[which] = headers["protocol"]
            return
        header_bytes = (headers["version_ihl"] & 0x0F).astype(np.int64) * 4
        # A total length of zero is what segmentation offload leaves: the capture is the bound.
        stated = total != 0
        fault = np.zeros(len(start), np.uint8)
        fault[stated & (total < np.maximum(header_bytes, IPV4.itemsize))] = (
            Malformed.IPV4_TOTAL_LENGTH
        )
        fault[(header_bytes < IPV4.itemsize) | (start + header_bytes > end)] = (
            Malformed.IPV4_HEADER_LENGTH
        )
        fault[start + IPV4.itemsize > end] = Malformed.IPV4_TOO_SHORT
        self._malformed[which] = fault
        first = headers["fragment"] & _IPV4_FRAGMENT_OFFSET == 0
        self._at_end[which] = np.where(stated, np.minimum(end, start + total), end)
        self._at[which] = start + header_bytes
        self._protocol[which] = np.where(first, headers["protocol"], _NO_PROTOCOL)

    def ipv6(self) -> None:
        """Fill the network columns of IPv6 packets."""
        which, rows = self._of_ethertype(ETHERTYPE_IPV6), self._rows
        if which is None:
            return
        start, end = self._at[which], self._end[which]
        headers = gather(self._buffer, start, IPV6)
        rows["ip_version"][which] = _VERSION_IPV6
        for column in ("source_hi", "source_lo", "destination_hi", "destination_lo"):
            rows[column][which] = headers[column]
        rows["flags"][which] |= _IP
        fault = np.zeros(len(start), np.uint8)
        fault[start + IPV6.itemsize > end] = Malformed.IPV6_TOO_SHORT
        position = start + IPV6.itemsize
        # A payload length of zero is a jumbogram or segmentation offload: the capture is the bound.
        stated = headers["payload_length"].astype(np.int64)
        stated_end = np.where(stated == 0, end, np.minimum(end, position + stated))
        protocol = headers["next_header"].copy()
        for _ in range(_HOP_BY_HOP_MAX):
            options = ((protocol == _HOP_BY_HOP) & (fault == 0)).nonzero()[0]
            if not options.size:
                break
            # One extension header, RFC 8200 section 4.3; its length counts 8-byte units after one.
            at = position[options]
            behind = at + (self._buffer[at + 1].astype(np.int64) + 1) * 8
            fault[options[behind > stated_end[options]]] = Malformed.IPV6_EXTENSION_TOO_SHORT
            protocol[options] = self._buffer[at]
            position[options] = np.minimum(behind, stated_end[options])
        rows["protocol"][which] = protocol
        self._malformed[which] = fault
        self._at[which] = position
        self._at_end[which] = stated_end
        self._protocol[which] = protocol

    def transport(self) -> None:
        """Fill the transport columns."""
        needed = _HEADER_BYTES[self._protocol]
        captured = self._at_end - self._at
        present = needed != 0
        fits = captured >= needed
        fits &= present
        if np.count_nonzero(fits) != len(fits) or np.count_nonzero(self._malformed):
            present &= self._malformed == 0
            present &= captured > 0
            short = present & (captured < needed)
            if np.count_nonzero(short):
                self._malformed[short] = _TOO_SHORT[self._protocol[short]]
                present &= ~short
            if not np.count_nonzero(present):
                return
        which, rows = _which(present), self._rows
        headers = gather(self._buffer, self._at[which], TRANSPORT)
        protocol = self._protocol[which]
        rows["flags"][which] |= _L4
        source_port, destination_port = headers["source_port"], headers["destination_port"]
        kinds = int(np.bitwise_or.reduce(_KINDS[protocol]))
        if kinds & _KIND_ICMP:
            is_icmp = (protocol == _ICMP) | (protocol == _ICMPV6)
            rows["icmp_type"][which] = np.where(is_icmp, source_port >> 8, 0)
            rows["icmp_code"][which] = np.where(is_icmp, source_port & 0xFF, 0)
            source_port = np.where(is_icmp, 0, source_port)
            destination_port = np.where(is_icmp, 0, destination_port)
        rows["source_port"][which] = source_port
        rows["destination_port"][which] = destination_port
        if kinds & _KIND_UDP:
            is_udp = protocol == _UDP
            # A length of zero is a jumbogram (RFC 2675).
            length = headers["udp_length"]
            wrong = is_udp & (length != 0) & (length < _UDP_HEADER_BYTES)
            if np.count_nonzero(wrong):
                self._malformed[present.nonzero()[0][wrong]] = Malformed.UDP_LENGTH
        if kinds & _KIND_TCP:
            is_tcp = protocol == _TCP
            word = headers["tcp_word"] * is_tcp
            rows["tcp_flags"][which] = word & _TCP_FLAGS
            header_bytes = (word >> 12).astype(np.int64) * 4
            wrong = (header_bytes < _TCP_HEADER_BYTES_MIN) | (header_bytes > captured[which])
            wrong &= is_tcp
            if np.count_nonzero(wrong):
                self._malformed[present.nonzero()[0][wrong]] = Malformed.TCP_DATA_OFFSET

    def spare(self) -> None:
        """Keep our own events whose packet does not fit, with the layers that do."""
        if not np.count_nonzero(self._malformed):
            return
        spared = self._spans.ours & (self._malformed >= Malformed.ETHERNET_TOO_SHORT)
        without_ip = spared & _IP_CUT[self._malformed]
        if np.count_nonzero(without_ip):
            # Those columns were read beyond the capture.
            for column in _IP_COLUMNS:
                self._rows[column][without_ip] = 0
            self._rows["flags"][without_ip] &= ~_IP
        self._malformed[spared] = Malformed.NONE
