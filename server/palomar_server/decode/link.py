"""Ethernet headers, by columns. Source: IEEE 802.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.decode.gather import gather
from palomar_server.decode.layers import which_of
from palomar_server.decode.malformed import Malformed
from palomar_server.table import FLOW, Flag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.decode.layers import Layers, Which

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
ETHERTYPE_ETHERNET = 0x6558
"""Transparent Ethernet bridging: another Ethernet header follows."""

ETHERNET = np.dtype([("destination", "u1", 6), ("source", "u1", 6), ("ethertype", ">u2")])

# Both MAC columns are moved as one, which they are in the header too.
_MACS = np.dtype((np.void, 12))
_MACS_AT: int = np.dtype(FLOW.descr[: (FLOW.names or ()).index("destination_mac")]).itemsize
_PACKET, _ETHERNET = np.uint8(Flag.PACKET), np.uint8(Flag.ETHERNET)


def take_ethernet(
    layers: Layers, l3: NDArray[np.bool_] | None, ipv6: NDArray[np.bool_] | None
) -> None:
    """Take the Ethernet headers off, and tell what is behind by `ethertype`.

    Args:
        layers: at the first header of each packet.
        l3: which packets start at the network header instead; None if none do.
        ipv6: which of those are IPv6.
    """
    captured = layers.end - layers.at
    if l3 is None and int(captured.min()) > ETHERNET.itemsize:
        # Nearly all batches: every packet is a frame, and something is in each.
        layers.tidy = True
        layers.flags |= _PACKET
        _take_frames(layers, slice(None))
        return
    has_bytes = captured > 0
    layers.flags |= has_bytes.view(np.uint8) * _PACKET
    has_header = has_bytes if l3 is None else has_bytes & ~l3
    short = has_header & (captured < ETHERNET.itemsize)
    if np.count_nonzero(short):
        layers.malformed[short] = Malformed.ETHERNET_TOO_SHORT
        has_header = has_header & ~short
    _take_frames(layers, which_of(has_header))
    if l3 is not None and ipv6 is not None:
        layers.ethertype[l3] = np.where(ipv6[l3], ETHERTYPE_IPV6, ETHERTYPE_IPV4)


def _take_frames(layers: Layers, which: Which) -> None:
    frames = gather(layers.buffer, layers.at[which], ETHERNET)
    layers.rows.getfield(_MACS, _MACS_AT)[which] = frames.getfield(_MACS)
    layers.ethertype[which] = frames["ethertype"]
    layers.flags[which] |= _ETHERNET
    layers.at[which] += ETHERNET.itemsize
