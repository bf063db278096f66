"""Packets inside of packets, by columns: IP in IP, Ethernet in Ethernet, VXLAN and Geneve.

Those that have one inside are decoded once more, from where it starts; the innermost counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_server.decode.layers import Layers
from palomar_server.decode.link import ETHERTYPE_ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.network import ETHERTYPES_IN_IP
from palomar_server.decode.tunnel import (
    TunnelHeaders,
    enter_tunnel,
    has_udp,
    leave_outside,
    tunnels_by_port,
    udp_payload,
)
from palomar_server.table import Flag, opaque, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from numpy.typing import NDArray

    from palomar_server.table import Rows

    TakeOff: TypeAlias = Callable[
        [Layers, NDArray[np.bool_] | None, NDArray[np.bool_] | None], None
    ]
    """Takes one header of each kind off; see `palomar_server.decode.packet`."""

NESTED_MAX = 16
"""Packets inside of packets that are taken apart: no honest one comes close, and without a limit a
forged one could keep us busy for as many rounds as it has room for headers."""

_IP, _PACKET = np.uint8(Flag.IP), np.uint8(Flag.PACKET)


@dataclass(frozen=True, slots=True)
class _Inner:
    """Packets inside of some of the packets that were decoded."""

    which: NDArray[np.intp]
    """Those packets, m of them."""
    rows: Rows
    """Copies of their rows, as far as what is outside is kept."""
    start: NDArray[np.int64]
    """Where the packets inside start, shape (m,)."""
    end: NDArray[np.int64]
    """Where they end."""
    ethertype: NDArray[np.uint16]
    """What they start with."""


class Nested:
    """Finds and decodes the packets inside.

    Args:
        take_off: takes one header of each kind off.
    """

    def __init__(self, take_off: TakeOff) -> None:
        self._take_off = take_off

    def decode(
        self, layers: Layers, tunnel: NDArray[np.uint8] | None, *, inside: bool, depth: int = 0
    ) -> None:
        """Go on with the packets inside of some, where there are any.

        Args:
            layers: packets whose headers are taken off.
            tunnel: flow.Tunnel.Protocol of those in which a tunnel's header follows; None if in
                none.
            inside: whether the packets themselves came out of a tunnel; then ports tell what
                follows.
            depth: how often this was done so far.
        """
        if layers.nests:
            tunnel = self._decode_packets_within(layers, tunnel, inside=inside, depth=depth)
        if inside:
            tunnel = tunnels_by_port(layers)
        if tunnel is not None and np.count_nonzero(tunnel):
            self._decode_tunnels(layers, tunnel, inside=inside, depth=depth)

    def _decode_packets_within(
        self, layers: Layers, tunnel: NDArray[np.uint8] | None, *, inside: bool, depth: int
    ) -> NDArray[np.uint8] | None:
        """Go on where another packet follows the IP or Ethernet header; return what is left."""
        ethertypes = ETHERTYPES_IN_IP[layers.protocol]
        ethertypes[layers.ethertype == ETHERTYPE_ETHERNET] = ETHERTYPE_ETHERNET
        ethertypes *= (layers.malformed == 0) & (layers.end > layers.at)
        which = ethertypes.nonzero()[0]
        if not which.size:
            return tunnel
        rows = take(layers.rows, which)
        # An IPv4 header fills the lower half alone.
        rows["source_hi"] = rows["destination_hi"] = 0
        inner = _Inner(which, rows, layers.at[which], layers.end[which], ethertypes[which])
        kinds = None if tunnel is None else tunnel[which]
        self._decode_inner(layers, inner, kinds, inside=inside, depth=depth)
        # Of those the packet inside told whether there is a tunnel.
        return None if tunnel is None else tunnel * (ethertypes == 0)

    def _decode_tunnels(
        self, layers: Layers, tunnel: NDArray[np.uint8], *, inside: bool, depth: int
    ) -> None:
        expected = (tunnel != 0) & (layers.malformed == 0) & (layers.flags & _PACKET != 0)
        udp = has_udp(layers)
        without = (expected & ~udp & layers.foreign(slice(None))).nonzero()[0]
        if without.size:
            layers.malformed[without] = Malformed.TUNNEL_TOO_SHORT
        which = (expected & udp).nonzero()[0]
        if not which.size:
            return
        start, end = udp_payload(layers, which)
        kinds = tunnel[which]
        headers = TunnelHeaders(layers.buffer, kinds, start, end)
        if inside:
            # Nothing need follow a port.
            headers.fault[end <= start] = 0
        if np.count_nonzero(headers.fault):
            layers.malformed[which] = headers.fault * layers.foreign(which)
        good = ((headers.fault == 0) & (end > start)).nonzero()[0]
        if not good.size:
            return
        rows = take(layers.rows, which[good])
        if inside:
            same = rows["tunnel_protocol"] == kinds[good]
            rows["tunnel_vni"] = np.where(same, headers.vni[good], rows["tunnel_vni"])
        else:
            enter_tunnel(rows, kinds[good], headers.vni[good])
        leave_outside(rows)
        inner = _Inner(which[good], rows, headers.start[good], end[good], headers.ethertype[good])
        self._decode_inner(layers, inner, None, inside=True, depth=depth)

    def _decode_inner(
        self,
        layers: Layers,
        inner: _Inner,
        tunnel: NDArray[np.uint8] | None,
        *,
        inside: bool,
        depth: int,
    ) -> None:
        which, rows = inner.which, inner.rows
        if depth >= NESTED_MAX:
            layers.malformed[which] = np.where(layers.foreign(which), Malformed.NESTED_TOO_DEEP, 0)
            return
        malformed = np.zeros(len(which), np.uint8)
        ours = None if layers.ours is None else layers.ours[which]
        framed = inner.ethertype == ETHERTYPE_ETHERNET
        ipv6 = inner.ethertype == ETHERTYPE_IPV6
        known = framed | ipv6 | (inner.ethertype == ETHERTYPE_IPV4)
        end = np.where(known, inner.end, inner.start)
        within = Layers(layers.buffer, rows, malformed, inner.start, end, ours=ours)
        within.stop = layers.stop[which]
        self._take_off(within, None if framed.all() else ~framed, ipv6)
        self.decode(within, tunnel, inside=inside, depth=depth + 1)
        layers.malformed[which] = malformed
        if ours is not None:
            # What is inside of a packet of ours may be cut: then the packet outside is the flow.
            kept = ~ours | (rows["flags"] & _IP != 0)
            if np.count_nonzero(kept) != len(kept):
                which, rows = which[kept], take(rows, kept)
        opaque(layers.rows)[which] = opaque(rows)
