"""Ethernet headers for packets that came without one, for files that know one linktype only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_recorder.packets import Packets

HEADER_BYTES = 14
_TYPE_AT = 12
_UNKNOWN = 0xFFFF
"""Reserved: nobody's protocol (IANA, IEEE 802 numbers)."""
_TYPES = np.full(16, _UNKNOWN, ">u2")
_TYPES[4], _TYPES[6] = 0x0800, 0x86DD


def made_headers(packets: Packets) -> NDArray[np.uint8]:
    """Headers with zero addresses and the EtherType that the packets' first bytes tell.

    Args:
        packets: beginning with their IPv4 or IPv6 header; others get the reserved type 0xffff.

    Returns:
        Shape (n, 14), dtype uint8.
    """
    headers = np.zeros((len(packets), HEADER_BYTES), np.uint8)
    versions = np.zeros(len(packets), np.uint8)
    there = packets.captured_bytes > 0
    versions[there] = packets.buffer[packets.offsets[there]] >> 4
    headers[:, _TYPE_AT:] = _TYPES[versions].view(np.uint8).reshape(-1, 2)
    return headers
