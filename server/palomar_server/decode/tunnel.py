"""VXLAN and Geneve headers, by columns: what is outside becomes the tunnel of the flow inside.

Sources: RFC 7348, RFC 8926.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.decode.gather import gather
from palomar_server.decode.link import ETHERTYPE_ETHERNET
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.transport import UDP_HEADER_BYTES
from palomar_server.table import Flag, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.decode.layers import Layers
    from palomar_server.table import Rows

TUNNEL_HEADER_BYTES = 8
_HEADER = np.dtype(
    [("options", "u1"), ("flags", "u1"), ("protocol", ">u2"), ("vni_and_reserved", ">u4")]
)
"""Geneve; of VXLAN only the VNI is in the same place."""
_UDP_HEADER = np.dtype([("ports", ">u4"), ("length", ">u2"), ("checksum", ">u2")])
_OPTION_WORDS, _WORD_BYTES = 0x3F, 4
_OPTION_HEADER_BYTES, _OPTION_LENGTH = 4, 0x0F
"""Of the five bits that RFC 8926 gives to an option's length Hubble's decoder takes four."""
_VXLAN, _GENEVE = int(flow_pb2.Tunnel.VXLAN), int(flow_pb2.Tunnel.GENEVE)
_L4 = np.uint8(Flag.L4)
_OUTER = np.uint8(Flag.ETHERNET | Flag.IP | Flag.L4)
_UDP = int(Protocol.UDP)
_OTHER = 255
_BY_PORT = np.zeros(65_536, np.uint8)
# Ports that tell Hubble's decoder of something else, DNS, DHCP, NTP, RMCP, RADIUS, GTP, BFD, SIP
# and sFlow: which of two ports counts depends on those.
_BY_PORT[[53, 67, 68, 123, 546, 547, 623, 1812, 2152, 3784, 5060, 6343]] = _OTHER
_BY_PORT[4789], _BY_PORT[6081] = _VXLAN, _GENEVE
_COLUMNS = (
    *(("source_hi", "tunnel_source_hi"), ("source_lo", "tunnel_source_lo")),
    *(("destination_hi", "tunnel_destination_hi"), ("destination_lo", "tunnel_destination_lo")),
    *(("source_port", "tunnel_source_port"), ("destination_port", "tunnel_destination_port")),
    ("ip_version", "tunnel_ip_version"),
)


def udp_payload(
    layers: Layers, which: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end of what the UDP headers of some packets, which have one, are followed by."""
    at = layers.at[which]
    length = gather(layers.buffer, at, _UDP_HEADER)["length"].astype(np.int64)
    end = layers.end[which]
    # A length of zero is a jumbogram (RFC 2675).
    end = np.where(length == 0, end, np.minimum(end, at + length))
    return at + UDP_HEADER_BYTES, end


def has_udp(layers: Layers) -> NDArray[np.bool_]:
    """Which packets had a whole UDP header."""
    udp: NDArray[np.bool_] = (layers.protocol == _UDP) & (layers.flags & _L4 != 0)
    return udp


class TunnelHeaders:
    """The tunnel headers of n packets.

    Args:
        buffer: the bytes, padded.
        kinds: flow.Tunnel.Protocol, shape (n,).
        start: offset behind the UDP header, shape (n,).
        end: offset behind the UDP payload, shape (n,).
    """

    __slots__ = ("ethertype", "fault", "start", "vni")

    def __init__(
        self,
        buffer: NDArray[np.uint8],
        kinds: NDArray[np.uint8],
        start: NDArray[np.int64],
        end: NDArray[np.int64],
    ) -> None:
        headers = gather(buffer, start, _HEADER)
        geneve = kinds == _GENEVE
        self.vni = headers["vni_and_reserved"] >> 8
        self.ethertype = np.where(geneve, headers["protocol"], ETHERTYPE_ETHERNET)
        """What follows."""
        self.fault = np.zeros(len(start), np.uint8)
        """`Malformed`."""
        words = np.where(geneve, headers["options"] & _OPTION_WORDS, 0).astype(np.int64)
        short = start + TUNNEL_HEADER_BYTES + words * _WORD_BYTES > end
        self.fault[short] = Malformed.TUNNEL_TOO_SHORT
        self.start = start + TUNNEL_HEADER_BYTES
        """Where it starts."""
        optional = ((words > 0) & ~short).nonzero()[0]
        if optional.size:
            self._skip_options(buffer, optional, words[optional] * _WORD_BYTES, end[optional])

    def _skip_options(
        self,
        buffer: NDArray[np.uint8],
        which: NDArray[np.intp],
        left: NDArray[np.int64],
        end: NDArray[np.int64],
    ) -> None:
        """Step over Geneve options, one of all packets at a time; each is 4 bytes at least."""
        while which.size:
            at = self.start[which]
            length = (buffer[at + 3] & _OPTION_LENGTH).astype(np.int64) * _WORD_BYTES
            length += _OPTION_HEADER_BYTES
            cut = at + length > end
            self.fault[which[cut]] = Malformed.GENEVE_OPTION
            self.start[which] = at + length
            left = left - length
            goes_on = ~cut & (left > 0)
            which, left, end = which[goes_on], left[goes_on], end[goes_on]


def enter_tunnel(rows: Rows, kinds: NDArray[np.uint8], vni: NDArray[np.uint32]) -> None:
    """Make what is known of packets that of their tunnel.

    Args:
        rows: n rows, all of which have a tunnel header.
        kinds: flow.Tunnel.Protocol, shape (n,).
        vni: VXLAN or Geneve network identifier, shape (n,).
    """
    for column, of_tunnel in _COLUMNS:
        rows[of_tunnel] = rows[column]
    rows["tunnel_protocol"] = kinds
    rows["tunnel_vni"] = vni


def leave_outside(rows: Rows) -> None:
    """Forget what is known of packets, as that is not so of the packets inside."""
    for column in (
        *(column for column, _ in _COLUMNS),
        "protocol",
        "source_mac",
        "destination_mac",
    ):
        rows[column] = 0
    rows["flags"] &= ~_OUTER


def tunnels_by_port(layers: Layers) -> NDArray[np.uint8] | None:
    """Tunnels that ports tell: flow.Tunnel.Protocol or 0; None if there are none.

    The source port counts where the destination port tells nothing.
    """
    udp = has_udp(layers).nonzero()[0]
    if not udp.size:
        return None
    ports = gather(layers.buffer, layers.at[udp], _UDP_HEADER)["ports"]
    told = _BY_PORT[ports & 0xFFFF]
    told = np.where(told == 0, _BY_PORT[ports >> 16], told)
    kinds = np.zeros(len(layers.rows), np.uint8)
    kinds[udp] = told * (told != _OTHER)
    return kinds
