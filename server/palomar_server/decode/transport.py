"""Transport headers, by columns: TCP, UDP, SCTP, ICMP, ICMPv6; and IGMP and VRRP in their place.

Sources: RFC 9293, RFC 768, RFC 9260, RFC 792, RFC 4443, RFC 2236, RFC 3768.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.decode.gather import gather
from palomar_server.decode.header_options import broken_options
from palomar_server.decode.icmp_error import take_icmp_errors
from palomar_server.decode.layers import which_of
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.network import ETHERTYPES_IN_IP
from palomar_server.table import Flag, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.decode.layers import Layers, Which

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

_IGMP_HEADER = np.dtype([("type", "u1"), ("time", "u1"), ("checksum", ">u2"), ("group", ">u4")])
_VRRP_HEADER = np.dtype(
    [("version_type", "u1"), ("vrid", "u1"), ("priority", "u1"), ("addresses", "u1")]
)
_VRRP_ADVERTISEMENT = 1
_VRRP_FIXED_BYTES, _VRRP_ADDRESS_BYTES = 8, 4
_OPTION_BYTES_MIN = 2
_OPTIONS = np.dtype([("header", "V20"), ("first", ">u4")])
_TIMESTAMPS, _TIMESTAMPS_HEADER_BYTES = 0x0101080A, 32
"""Of nearly all TCP segments: two paddings and timestamps, no more (RFC 7323 appendix A)."""
_TCP_FLAGS = 0x1FF
TCP_HEADER_BYTES, UDP_HEADER_BYTES = 20, 8
_L4 = np.uint8(Flag.L4)
_TCP, _UDP = int(Protocol.TCP), int(Protocol.UDP)
_ICMP, _ICMPV6 = int(Protocol.ICMP), int(Protocol.ICMPV6)
_IGMP, _VRRP = int(Protocol.IGMP), int(Protocol.VRRP)
_WORD_BYTES = 4

_IS_TCP, _IS_UDP, _IS_PORTLESS, _IS_GROUP, _IS_PACKET, _IS_SCTP = 1, 2, 4, 8, 16, 32
_KINDS = np.zeros(256, np.uint8)
_KINDS[[_TCP, _UDP, Protocol.SCTP]] = (_IS_TCP, _IS_UDP, _IS_SCTP)
_KINDS[[_ICMP, _ICMPV6]] = _IS_PORTLESS
_KINDS[[_IGMP, _VRRP]] = _IS_PORTLESS | _IS_GROUP
_KINDS[ETHERTYPES_IN_IP != 0] = _IS_PACKET
_HEADER_BYTES = np.zeros(256, np.int64)
_TOO_SHORT = np.zeros(256, np.uint8)
for _protocol, _bytes, _fault in (
    (Protocol.TCP, TCP_HEADER_BYTES, Malformed.TCP_TOO_SHORT),
    (Protocol.UDP, UDP_HEADER_BYTES, Malformed.UDP_TOO_SHORT),
    (Protocol.SCTP, 12, Malformed.SCTP_TOO_SHORT),
    (Protocol.ICMP, 8, Malformed.ICMP_TOO_SHORT),
    (Protocol.ICMPV6, 4, Malformed.ICMP_TOO_SHORT),
    (Protocol.IGMP, 8, Malformed.IGMP_TOO_SHORT),
    # As much as Hubble's decoder needs to be in the IP packet.
    (Protocol.VRRP, 6, Malformed.VRRP_TOO_SHORT),
):
    _HEADER_BYTES[_protocol] = _bytes
    _TOO_SHORT[_protocol] = _fault


def take_transport(layers: Layers) -> None:
    """Fill the transport columns of the packets that have such a header."""
    kinds = int(np.bitwise_or.reduce(_KINDS[layers.protocol]))
    if kinds & _IS_PACKET:
        layers.nests = True
    needed = _HEADER_BYTES[layers.protocol]
    captured = layers.end - layers.at
    present = needed != 0
    fits = captured >= needed
    fits &= present
    if np.count_nonzero(fits) != len(fits) or np.count_nonzero(layers.malformed):
        present &= layers.malformed == 0
        present &= captured > 0
        short = present & (captured < needed)
        if np.count_nonzero(short):
            layers.malformed[short] = _TOO_SHORT[layers.protocol[short]]
            present &= ~short
        if not np.count_nonzero(present):
            return
    which, rows = which_of(present), layers.rows
    headers = gather(layers.buffer, layers.at[which], TRANSPORT)
    protocol = layers.protocol[which]
    layers.flags[which] |= _L4
    source_port, destination_port = headers["source_port"], headers["destination_port"]
    if kinds & _IS_PORTLESS:
        portless = _KINDS[protocol] & _IS_PORTLESS != 0
        is_icmp = (protocol == _ICMP) | (protocol == _ICMPV6)
        rows["icmp_type"][which] = np.where(portless, source_port >> 8, 0)
        rows["icmp_code"][which] = np.where(is_icmp, source_port & 0xFF, 0)
        source_port = np.where(portless, 0, source_port)
        destination_port = np.where(portless, 0, destination_port)
    rows["source_port"][which] = source_port
    rows["destination_port"][which] = destination_port
    if kinds & _IS_UDP:
        # A length of zero is a jumbogram (RFC 2675).
        length = headers["udp_length"]
        wrong = (protocol == _UDP) & (length != 0) & (length < UDP_HEADER_BYTES)
        layers.fault(which, wrong * np.uint8(Malformed.UDP_LENGTH))
    if kinds & _IS_TCP:
        word = headers["tcp_word"]
        if kinds == _IS_TCP:
            _check_tcp(layers, which, word)
        else:
            is_tcp = protocol == _TCP
            tcp = is_tcp.nonzero()[0]
            _check_tcp(layers, tcp if isinstance(which, slice) else which[tcp], word[tcp])
            word = word * is_tcp
        rows["tcp_flags"][which] = word & _TCP_FLAGS
    if kinds & _IS_PORTLESS:
        _take_portless(layers, present, kinds)


def _take_portless(layers: Layers, present: NDArray[np.bool_], kinds: int) -> None:
    """Fill what only protocols without ports have."""
    is_icmp = (layers.protocol == _ICMP) | (layers.protocol == _ICMPV6)
    take_icmp_errors(layers, (present & is_icmp).nonzero()[0])
    if kinds & _IS_GROUP:
        _take_igmp(layers, (present & (layers.protocol == _IGMP)).nonzero()[0])
        _take_vrrp(layers, (present & (layers.protocol == _VRRP)).nonzero()[0])


def _check_tcp(layers: Layers, which: Which, word: NDArray[np.uint16]) -> None:
    """Check data offsets and options of some TCP headers by their words of offset and flags."""
    size = (word >> 12).astype(np.int64) * _WORD_BYTES
    at = layers.at[which]
    behind = at + size
    sound = size >= TCP_HEADER_BYTES
    sound &= behind <= layers.end[which]
    if np.count_nonzero(sound) != len(sound):
        layers.fault(which, ~sound * np.uint8(Malformed.TCP_DATA_OFFSET))
    optional = size > TCP_HEADER_BYTES
    if not np.count_nonzero(optional):
        return
    optional &= size != _TIMESTAMPS_HEADER_BYTES
    optional |= gather(layers.buffer, at, _OPTIONS)["first"] != _TIMESTAMPS
    optional &= size > TCP_HEADER_BYTES
    optional &= sound
    optional &= layers.foreign(which)
    chosen = optional.nonzero()[0]
    if chosen.size:
        first, behind = at[chosen] + TCP_HEADER_BYTES, behind[chosen]
        broken = broken_options(layers.buffer, first, behind, _OPTION_BYTES_MIN)
        if np.count_nonzero(broken):
            indices = chosen if isinstance(which, slice) else which[chosen]
            layers.malformed[indices[broken]] = Malformed.TCP_OPTION


def _take_igmp(layers: Layers, which: NDArray[np.intp]) -> None:
    headers = gather(layers.buffer, layers.at[which], _IGMP_HEADER)
    layers.rows["igmp_group"][which] = headers["group"]


def _take_vrrp(layers: Layers, which: NDArray[np.intp]) -> None:
    at = layers.at[which]
    headers = gather(layers.buffer, at, _VRRP_HEADER)
    rows = layers.rows
    # Version 2 and 3 have these fields in the same place.
    rows["icmp_type"][which] = headers["version_type"] & 0x0F
    rows["vrrp_vrid"][which] = headers["vrid"]
    rows["vrrp_priority"][which] = headers["priority"]
    addresses = headers["addresses"].astype(np.int64)
    fault = np.zeros(len(which), np.uint8)
    behind = at + _VRRP_FIXED_BYTES + addresses * _VRRP_ADDRESS_BYTES
    fault[behind > layers.stop[which]] = Malformed.VRRP_TOO_SHORT
    fault[addresses == 0] = Malformed.VRRP_ADDRESSES
    fault[headers["version_type"] & 0x0F != _VRRP_ADVERTISEMENT] = Malformed.VRRP_TYPE
    layers.fault(which, fault)
