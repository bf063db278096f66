"""Packets, by columns: Ethernet, IP, transport, and packets inside of packets.

The rules are those Hubble's packet decoder follows, so that both see the same flow: the IP length
bounds the transport header, a header that does not fit makes the event malformed, a protocol that
is not decoded ends the flow at the layer before, of packets in packets the innermost counts.

Events of palomar's own programs are spared: a packet that is damaged is often dropped for just
that, and a short capture cuts headers that are sound. Those keep the layers that do fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.decode.layers import Layers, which_of
from palomar_server.decode.link import ETHERTYPE_IPV4, ETHERTYPE_IPV6, take_ethernet
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.nested import Nested
from palomar_server.decode.network import take_ipv4, take_ipv6
from palomar_server.decode.original import apply_originals
from palomar_server.decode.transport import take_transport
from palomar_server.table import Flag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.decode.heads import PacketSpans
    from palomar_server.table import Rows

_IP = np.uint8(Flag.IP)
_IP_CUT = np.zeros(256, np.bool_)
_IP_CUT[[Malformed.IPV4_TOO_SHORT, Malformed.IPV6_TOO_SHORT]] = True
_IP_COLUMNS = (
    *("source_hi", "source_lo", "destination_hi", "destination_lo", "ip_version", "protocol"),
)


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
    layers = Layers(buffer, rows, malformed, spans.start, spans.end, ours=spans.ours)
    _take_off(layers, spans.l3, spans.ipv6)
    _NESTED.decode(layers, spans.tunnel, inside=False)
    for originals in spans.originals:
        apply_originals(rows, originals)


def _take_off(layers: Layers, l3: NDArray[np.bool_] | None, ipv6: NDArray[np.bool_] | None) -> None:
    """Take off one header of each kind."""
    take_ethernet(layers, l3, ipv6)
    left = len(layers.rows)
    for ethertype, take_ip in ((ETHERTYPE_IPV4, take_ipv4), (ETHERTYPE_IPV6, take_ipv6)):
        mask = layers.ethertype == ethertype
        found = np.count_nonzero(mask)
        if not found:
            continue
        left -= int(found)
        if layers.tidy:
            take_ip(layers, slice(None) if found == len(mask) else mask.nonzero()[0])
        else:
            mask &= layers.malformed == 0
            mask &= layers.end > layers.at
            take_ip(layers, which_of(mask))
        if not left:
            break
    else:
        # Neither of both, or not decoded: another Ethernet header is possible.
        layers.nests = True
    take_transport(layers)
    layers.rows["flags"] |= layers.flags
    _spare(layers)


def _spare(layers: Layers) -> None:
    """Keep our own events whose packet does not fit, with the layers that do."""
    malformed, rows = layers.malformed, layers.rows
    if layers.ours is None or not np.count_nonzero(malformed):
        return
    spared = layers.ours & (malformed >= Malformed.ETHERNET_TOO_SHORT)
    without_ip = spared & _IP_CUT[malformed]
    if np.count_nonzero(without_ip):
        # Those columns were read beyond the capture.
        for column in _IP_COLUMNS:
            rows[column][without_ip] = 0
        rows["flags"][without_ip] &= ~_IP
        layers.protocol[without_ip] = 0
    malformed[spared] = Malformed.NONE


_NESTED = Nested(_take_off)
