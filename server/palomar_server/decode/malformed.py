"""Why a payload could not be decoded."""

from __future__ import annotations

import enum


class Malformed(enum.IntEnum):
    """Reasons, as counted and shown in metrics; 0 is well-formed."""

    NONE = 0
    EMPTY = 1
    """No bytes at all."""
    UNKNOWN_TYPE = 2
    """The first byte is no message type that is decoded."""
    UNKNOWN_VERSION = 3
    """A head version or extension version that is not known."""
    HEAD_TOO_SHORT = 4
    """The payload ends inside its head."""
    ETHERNET_TOO_SHORT = 5
    IPV4_TOO_SHORT = 6
    IPV4_HEADER_LENGTH = 7
    """A header length below 20 bytes, or beyond the packet."""
    IPV4_TOTAL_LENGTH = 8
    """A total length that does not hold the header."""
    IPV6_TOO_SHORT = 9
    IPV6_EXTENSION_TOO_SHORT = 10
    TCP_TOO_SHORT = 11
    TCP_DATA_OFFSET = 12
    """A TCP header length below 20 bytes, or beyond the packet."""
    UDP_TOO_SHORT = 13
    SCTP_TOO_SHORT = 14
    ICMP_TOO_SHORT = 15
    UDP_LENGTH = 16
    """A UDP length below its header's 8 bytes, and not zero."""
