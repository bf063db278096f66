"""IPv4 and IPv6 headers, by columns. Sources: RFC 791, RFC 8200.

The rules are those of Hubble's packet decoder, so that both see the same flow: a length that lies
makes an event malformed, no transport header is looked for in any fragment or behind an extension
header other than hop-by-hop options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.address import MAPPED_PREFIX_LO
from palomar_server.decode.gather import gather
from palomar_server.decode.header_options import broken_options
from palomar_server.decode.hop_by_hop import read_hop_by_hop
from palomar_server.decode.layers import NO_PROTOCOL
from palomar_server.decode.link import ETHERTYPE_IPV4, ETHERTYPE_IPV6
from palomar_server.decode.malformed import Malformed
from palomar_server.table import Flag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.decode.layers import Layers, Which

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

ETHERTYPES_IN_IP = np.zeros(256, np.uint16)
"""What follows an IP header, by its protocol, where that is another packet: RFC 2003 and its
predecessor's 94, RFC 2473."""
ETHERTYPES_IN_IP[[4, 94]] = ETHERTYPE_IPV4
ETHERTYPES_IN_IP[41] = ETHERTYPE_IPV6

_HOP_BY_HOP = 0
_FRAGMENT_OFFSET, _FRAGMENT = 0x1FFF, 0x3FFF
_LENGTH_BITS = 0xFFFF
_OPTION_BYTES_MIN = 3
"""Of an IPv4 option that is no padding: Hubble takes none without data."""
_MAPPED = np.uint64(MAPPED_PREFIX_LO)
_IP = np.uint8(Flag.IP)
_VERSION_IPV4, _VERSION_IPV6 = int(flow_pb2.IPv4), int(flow_pb2.IPv6)


def take_ipv4(layers: Layers, which: Which) -> None:
    """Take the IPv4 headers of some packets off."""
    rows = layers.rows
    start, end = layers.at[which], layers.end[which]
    headers = gather(layers.buffer, start, IPV4)
    rows["ip_version"][which] = _VERSION_IPV4
    for side in ("source", "destination"):
        rows[f"{side}_lo"][which] = headers[side].astype(np.uint64) | _MAPPED
    rows["protocol"][which] = headers["protocol"]
    layers.flags[which] |= _IP
    total = headers["total_length"].astype(np.int64)
    plain = headers["version_ihl"] & 0x0F == IPV4.itemsize // 4
    plain &= headers["fragment"] & _FRAGMENT == 0
    plain &= total >= IPV4.itemsize
    plain &= end - start >= IPV4.itemsize
    if np.count_nonzero(plain) == len(plain):
        # Nearly all batches: no options, no fragments, nothing wrong. In this order, as `start` is
        # the memory of `at` where `which` is a slice.
        layers.end[which] = np.minimum(end, start + total)
        layers.at[which] += IPV4.itemsize
        layers.protocol[which] = headers["protocol"]
        return
    captured = end - start
    size = (headers["version_ihl"] & 0x0F).astype(np.int64) * 4
    # A total length of zero is what segmentation offload leaves: the capture is the bound.
    total = np.where(total == 0, captured & _LENGTH_BITS, total)
    fault = np.zeros(len(start), np.uint8)
    fault[(size < IPV4.itemsize) | (size > captured)] = Malformed.IPV4_HEADER_LENGTH
    fault[total < np.maximum(size, IPV4.itemsize)] = Malformed.IPV4_TOTAL_LENGTH
    fault[captured < IPV4.itemsize] = Malformed.IPV4_TOO_SHORT
    foreign = layers.foreign(which)
    behind = start + size
    optional = ((fault == 0) & (size > IPV4.itemsize) & foreign).nonzero()[0]
    if optional.size:
        first = start[optional] + IPV4.itemsize
        broken = broken_options(layers.buffer, first, behind[optional], _OPTION_BYTES_MIN)
        fault[optional[broken]] = Malformed.IPV4_OPTION
    layers.fault(which, fault)
    # Hubble looks for no transport header in first fragments either, which have it.
    fragment = headers["fragment"] & np.where(foreign, _FRAGMENT, _FRAGMENT_OFFSET) != 0
    layers.end[which] = np.minimum(end, start + total)
    layers.at[which] = behind
    layers.protocol[which] = np.where(fragment, NO_PROTOCOL, headers["protocol"])


def take_ipv6(layers: Layers, which: Which) -> None:
    """Take the IPv6 headers of some packets off, and hop-by-hop options with them."""
    rows = layers.rows
    start, end = layers.at[which], layers.end[which]
    headers = gather(layers.buffer, start, IPV6)
    rows["ip_version"][which] = _VERSION_IPV6
    for column in ("source_hi", "source_lo", "destination_hi", "destination_lo"):
        rows[column][which] = headers[column]
    layers.flags[which] |= _IP
    fault = np.zeros(len(start), np.uint8)
    fault[start + IPV6.itemsize > end] = Malformed.IPV6_TOO_SHORT
    at = start + IPV6.itemsize
    payload = headers["payload_length"].astype(np.int64)
    protocol = headers["next_header"]
    optional = ((protocol == _HOP_BY_HOP) & (fault == 0)).nonzero()[0]
    if optional.size:
        protocol = protocol.copy()
        _take_options(layers, which, optional, (at, end, payload, protocol, fault))
    stated = payload != 0
    if np.count_nonzero(stated) != len(stated):
        unstated = ~stated & (fault == 0)
        if optional.size:
            unstated[optional] = False
        fault[unstated & layers.foreign(which)] = Malformed.IPV6_PAYLOAD_LENGTH
        # Of our own it is what segmentation offload leaves: the capture is the bound.
        payload = np.where(stated, payload, end - at)
    rows["protocol"][which] = protocol
    layers.fault(which, fault)
    layers.end[which] = np.minimum(end, at + payload)
    layers.at[which] = at
    layers.protocol[which] = protocol


def _take_options(
    layers: Layers,
    which: Which,
    optional: NDArray[np.intp],
    columns: tuple[
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.int64],
        NDArray[np.uint8],
        NDArray[np.uint8],
    ],
) -> None:
    """Step over the hop-by-hop headers of some of the rows `which`.

    Args:
        layers: the packets.
        which: the rows with an IPv6 header, m of them.
        optional: which of the m.
        columns: at, end, payload length, protocol and fault of the m; all but `end` are mended.
    """
    at, end, payload, protocol, fault = columns
    found = read_hop_by_hop(layers.buffer, at[optional], end[optional])
    stated, jumbo = payload[optional] != 0, found.jumbo_bytes > 0
    faults = found.fault
    faults[(faults == 0) & (stated == jumbo)] = Malformed.IPV6_PAYLOAD_LENGTH
    # Hubble's decoder goes on at the hop-by-hop header itself where that has the payload's length.
    step = np.where(jumbo, 0, found.length_bytes)
    if layers.ours is not None:
        ours = layers.ours[which][optional]
        faults[ours & (faults != Malformed.IPV6_EXTENSION_TOO_SHORT)] = 0
        step = np.where(ours, found.length_bytes, step)
    fault[optional] = faults
    # Of a header that is not whole not even the next one is sure to be known.
    protocol[optional] = np.where(faults == 0, found.protocol, _HOP_BY_HOP)
    payload[optional] = np.where(jumbo, found.jumbo_bytes, payload[optional])
    at[optional] += np.where(faults == 0, step, 0)
