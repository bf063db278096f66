"""The outermost IP header of packets and the ports behind it, as the kernel's programs see them.

The rules are those of packet.h beside those programs: up to two VLAN tags are stepped over, and up
to eight IPv6 extension headers; later fragments have no ports. Sources: IEEE 802.1Q, RFC 791, 8200,
4302.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_recorder.packets import LINKTYPE_ETHERNET
from palomar_server.address import MAPPED_PREFIX_LO
from palomar_server.table import Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_recorder.packets import Packets
    from palomar_server.table import Mask

VLAN_TAGS_MAX = 2
IPV6_EXTENSIONS_MAX = 8
HEADERS_BYTES_MAX = 512
"""So many bytes of a packet hold all that is looked at here, unless somebody made it to have many
extension headers."""

_ETHERTYPE_AT = 12
_TAG_BYTES = 4
_IPV4, _IPV6 = 0x0800, 0x86DD
_IPV4_BYTES, _IPV6_BYTES = 20, 40
_VERSION_IPV4, _VERSION_IPV6 = 4, 6
_IHL_MIN = 5
_FRAGMENT, _AUTHENTICATION = 44, 51
_EXTENSION_BYTES = 4
"""What is read of an extension header."""
_IS_EXTENSION = np.zeros(256, np.bool_)
_IS_EXTENSION[[0, 43, _FRAGMENT, _AUTHENTICATION, 60, 135]] = True
"""Hop-by-hop options, routing, fragment, authentication, destination options, mobility."""
_PORTED_BYTES = np.zeros(256, np.int64)
_PORTED_BYTES[[Protocol.TCP, Protocol.UDP, Protocol.SCTP]] = (14, 4, 4)
"""By protocol: what is read of the header of those that have ports."""
_OFFSET_IPV4, _OFFSET_IPV6 = 0x1FFF, 0xFFF8
_IS_TAG = np.zeros(1 << 16, np.bool_)
_IS_TAG[[0x8100, 0x88A8]] = True


@dataclass(frozen=True, slots=True)
class PacketHeaders:
    """Columns of n packets; all of shape (n,). What a packet does not have is 0."""

    version: NDArray[np.uint8]
    """Of IP, 4 or 6; without a whole and sound header it and all other columns are 0."""
    source_hi: NDArray[np.uint64]
    source_lo: NDArray[np.uint64]
    destination_hi: NDArray[np.uint64]
    destination_lo: NDArray[np.uint64]
    """Halves of addresses, as in the flow table: IPv4 is mapped into IPv6."""
    protocol: NDArray[np.uint8]
    """IANA number, of IPv6 that behind the extension headers."""
    has_ports: Mask
    """Whether the packet is of TCP, UDP or SCTP and has its ports, one of which is not 0, and of
    TCP its flags, too."""
    source_port: NDArray[np.uint16]
    destination_port: NDArray[np.uint16]


def read_headers(packets: Packets) -> PacketHeaders:
    """Read the headers of packets."""
    return _Reader(packets).read()


class _Reader:
    def __init__(self, packets: Packets) -> None:
        count = len(packets)
        self._buffer = packets.buffer
        self._at = packets.offsets.astype(np.int64, copy=True)
        self._end = packets.offsets + packets.captured_bytes
        linktypes = np.array([one.linktype for one in packets.interface_table], np.int64)
        self._is_frame: Mask = linktypes[packets.interfaces] == LINKTYPE_ETHERNET
        self._addresses = np.zeros((4, count), np.uint64)
        self._version = np.zeros(count, np.uint8)
        self._protocol = np.zeros(count, np.uint8)
        self._goes_on: Mask = np.zeros(count, np.bool_)
        """Whether a transport header may follow."""
        self._ports = np.zeros((2, count), np.uint16)

    def read(self) -> PacketHeaders:
        ipv4, ipv6 = self._take_link()
        self._take_ipv4(ipv4)
        self._take_ipv6(ipv6)
        which = (self._goes_on & (_PORTED_BYTES[self._protocol] != 0)).nonzero()[0]
        which = self._fitting(which, _PORTED_BYTES[self._protocol[which]])
        has_ports: Mask = np.zeros(len(self._at), np.bool_)
        for side in (0, 1):
            self._ports[side, which] = self._number(which, 2 * side, 2)
        has_ports[which] = (self._ports[0, which] | self._ports[1, which]) != 0
        source_hi, source_lo, destination_hi, destination_lo = self._addresses
        return PacketHeaders(
            version=self._version,
            source_hi=source_hi,
            source_lo=source_lo,
            destination_hi=destination_hi,
            destination_lo=destination_lo,
            protocol=self._protocol,
            has_ports=has_ports,
            source_port=self._ports[0],
            destination_port=self._ports[1],
        )

    def _fitting(self, which: NDArray[np.intp], size: int | NDArray[np.int64]) -> NDArray[np.intp]:
        """Those of some packets that have so many bytes more."""
        return which[self._at[which] + size <= self._end[which]]

    def _number(self, which: NDArray[np.intp], skip: int, size: int) -> NDArray[np.uint64]:
        """Big-endian numbers that stand `skip` bytes on in some packets."""
        at = self._at[which] + skip
        value = np.zeros(len(which), np.uint64)
        for byte in range(size):
            value <<= np.uint64(8)
            value |= self._buffer[at + byte]
        return value

    def _take_link(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Step over Ethernet headers and tags; which packets are of IPv4, and of IPv6."""
        ethertype = np.zeros(len(self._at), np.uint16)
        frames = self._is_frame.nonzero()[0]
        self._at[frames] += _ETHERTYPE_AT
        for _ in range(VLAN_TAGS_MAX + 1):
            frames = self._fitting(frames, 2)
            types = self._number(frames, 0, 2).astype(np.uint16)
            ethertype[frames] = types
            tagged = frames[_IS_TAG[types]]
            self._at[frames] += 2
            self._at[tagged] += 2
            frames = tagged
        bare = self._fitting((~self._is_frame).nonzero()[0], 1)
        versions = self._buffer[self._at[bare]] >> 4
        ethertype[bare] = np.select(
            [versions == _VERSION_IPV4, versions == _VERSION_IPV6], [_IPV4, _IPV6], 0
        )
        return (ethertype == _IPV4).nonzero()[0], (ethertype == _IPV6).nonzero()[0]

    def _take_ipv4(self, which: NDArray[np.intp]) -> None:
        which = self._fitting(which, _IPV4_BYTES)
        first = self._buffer[self._at[which]]
        sound = (first >> 4 == _VERSION_IPV4) & (first & 0x0F >= _IHL_MIN)
        which, first = which[sound], first[sound]
        self._version[which] = _VERSION_IPV4
        mapped = np.uint64(MAPPED_PREFIX_LO)
        self._addresses[1, which] = self._number(which, 12, 4) | mapped
        self._addresses[3, which] = self._number(which, 16, 4) | mapped
        self._protocol[which] = self._buffer[self._at[which] + 9]
        self._goes_on[which] = self._number(which, 6, 2) & np.uint64(_OFFSET_IPV4) == 0
        self._at[which] += (first & 0x0F).astype(np.int64) * 4

    def _take_ipv6(self, which: NDArray[np.intp]) -> None:
        which = self._fitting(which, _IPV6_BYTES)
        which = which[self._buffer[self._at[which]] >> 4 == _VERSION_IPV6]
        self._version[which] = _VERSION_IPV6
        for half in range(4):
            self._addresses[half, which] = self._number(which, 8 + 8 * half, 8)
        self._protocol[which] = self._buffer[self._at[which] + 6]
        self._goes_on[which] = True
        self._at[which] += _IPV6_BYTES
        left = which
        for _ in range(IPV6_EXTENSIONS_MAX):
            left = left[_IS_EXTENSION[self._protocol[left]] & self._goes_on[left]]
            left = self._fitting(left, _EXTENSION_BYTES)
            if not len(left):
                break
            self._take_extension(left)

    def _take_extension(self, which: NDArray[np.intp]) -> None:
        kind = self._protocol[which]
        length = self._buffer[self._at[which] + 1].astype(np.int64)
        is_fragment = kind == _FRAGMENT
        later = is_fragment & (self._number(which, 2, 2) & np.uint64(_OFFSET_IPV6) != 0)
        self._protocol[which] = self._buffer[self._at[which]]
        self._goes_on[which] = ~later
        self._at[which] += np.select(
            [is_fragment, kind == _AUTHENTICATION], [8, (length + 2) * 4], (length + 1) * 8
        )
