"""ICMP errors, by columns: the size that the next link takes, and the packet that is quoted.

Sources: RFC 792, RFC 1191 section 4, RFC 4443 section 3. What Hubble does not look at never makes
an event malformed: of a quote that is cut, as much is kept as is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.address import MAPPED_PREFIX_LO
from palomar_server.decode.gather import gather
from palomar_server.decode.network import IPV4, IPV6
from palomar_server.table import ICMP_QUOTE, Flag, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.decode.layers import Layers

_HEADER = np.dtype(
    [("type", "u1"), ("code", "u1"), ("checksum", ">u2"), ("unused", ">u2"), ("mtu", ">u2")]
)
_MTU_IPV6 = np.dtype([("head", "V4"), ("mtu", ">u4")])
_PORTS = np.dtype([("source", ">u2"), ("destination", ">u2")])
_ICMP, _ICMPV6 = int(Protocol.ICMP), int(Protocol.ICMPV6)
_UNREACHABLE, _FRAGMENTATION_NEEDED = 3, 4
_PACKET_TOO_BIG = 2
_TELLS_MTU = np.uint8(Flag.MTU)
_IS_ERROR = np.zeros((256, 256), np.bool_)
"""By protocol and type: the messages that quote a packet."""
_IS_ERROR[_ICMP, [3, 4, 5, 11, 12]] = True
_IS_ERROR[_ICMPV6, [1, 2, 3, 4]] = True
_HAS_PORTS = np.zeros(256, np.bool_)
_HAS_PORTS[[Protocol.TCP, Protocol.UDP, Protocol.SCTP]] = True
_FRAGMENT_OFFSET = 0x1FFF
_MAPPED = np.uint64(MAPPED_PREFIX_LO)


def take_icmp_errors(layers: Layers, which: NDArray[np.intp]) -> None:
    """Fill `icmp_mtu` and the columns of `ICMP_QUOTE` of those packets that are ICMP errors.

    The MTU is marked for the summary in events of palomar's own programs: see `Flag.MTU`.

    Args:
        layers: the packets, at their transport headers.
        which: those of ICMP or ICMPv6, whose columns of type and code are filled.
    """
    types = layers.rows["icmp_type"][which]
    which = which[_IS_ERROR[layers.protocol[which], types]]
    # An ICMPv6 message may end before; that many bytes ICMP errors of both families have.
    which = which[layers.end[which] - layers.at[which] >= _HEADER.itemsize]
    if not which.size:
        return
    is_ipv6 = layers.protocol[which] == _ICMPV6
    _take_mtu(layers, which, is_ipv6)
    _take_ipv4_quote(layers, which[~is_ipv6])
    _take_ipv6_quote(layers, which[is_ipv6])


def _take_mtu(layers: Layers, which: NDArray[np.intp], is_ipv6: NDArray[np.bool_]) -> None:
    at, rows = layers.at[which], layers.rows
    headers = gather(layers.buffer, at, _HEADER)
    too_big = (headers["type"] == _UNREACHABLE) & (headers["code"] == _FRAGMENTATION_NEEDED)
    mtu = np.where(
        is_ipv6,
        gather(layers.buffer, at, _MTU_IPV6)["mtu"] * (headers["type"] == _PACKET_TOO_BIG),
        headers["mtu"] * too_big,
    )
    rows["icmp_mtu"][which] = mtu
    if layers.ours is not None:
        layers.flags[which[layers.ours[which] & (mtu != 0)]] |= _TELLS_MTU


def _take_ipv4_quote(layers: Layers, which: NDArray[np.intp]) -> None:
    start, which = _quoted(layers, which, IPV4.itemsize)
    if not which.size:
        return
    headers = gather(layers.buffer, start, IPV4)
    quotes = layers.rows.view(ICMP_QUOTE)
    quotes["quoted_protocol"][which] = headers["protocol"]
    quotes["quoted_destination_lo"][which] = headers["destination"].astype(np.uint64) | _MAPPED
    whole = _HAS_PORTS[headers["protocol"]] & (headers["fragment"] & _FRAGMENT_OFFSET == 0)
    size = (headers["version_ihl"] & 0x0F).astype(np.int64) * 4
    whole &= size >= IPV4.itemsize
    _take_ports(layers, which[whole], (start + size)[whole])


def _take_ipv6_quote(layers: Layers, which: NDArray[np.intp]) -> None:
    start, which = _quoted(layers, which, IPV6.itemsize)
    if not which.size:
        return
    headers = gather(layers.buffer, start, IPV6)
    quotes = layers.rows.view(ICMP_QUOTE)
    quotes["quoted_protocol"][which] = headers["next_header"]
    for half in ("destination_hi", "destination_lo"):
        quotes[f"quoted_{half}"][which] = headers[half]
    whole = _HAS_PORTS[headers["next_header"]]
    _take_ports(layers, which[whole], start[whole] + IPV6.itemsize)


def _quoted(
    layers: Layers, which: NDArray[np.intp], size: int
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Where the quoted packets start, of those messages that have a whole IP header there."""
    start = layers.at[which] + _HEADER.itemsize
    fits = start + size <= layers.end[which]
    return start[fits], which[fits]


def _take_ports(layers: Layers, which: NDArray[np.intp], at: NDArray[np.int64]) -> None:
    fits = at + _PORTS.itemsize <= layers.end[which]
    ports = gather(layers.buffer, at[fits], _PORTS)
    quotes = layers.rows.view(ICMP_QUOTE)
    for side in ("source", "destination"):
        quotes[f"quoted_{side}_port"][which[fits]] = ports[side]
