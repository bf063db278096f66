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
    """A head version that is not known."""
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
    IPV4_OPTION = 17
    """An IPv4 option that is cut, longer than the header, or shorter than an option can be."""
    IPV6_OPTION = 18
    """A hop-by-hop option that is cut or longer than the packet."""
    IPV6_PAYLOAD_LENGTH = 19
    """A payload length of zero without a jumbo payload option, or one beside such an option."""
    IPV6_JUMBO_LENGTH = 20
    """A jumbo payload option that is not 4 bytes long or says less than 65,536 bytes."""
    TCP_OPTION = 21
    """A TCP option that is cut, longer than the header, or shorter than an option can be."""
    IGMP_TOO_SHORT = 22
    VRRP_TOO_SHORT = 23
    """A VRRP message that does not hold as many addresses as it says."""
    VRRP_TYPE = 24
    """A VRRP message that is no advertisement."""
    VRRP_ADDRESSES = 25
    """A VRRP advertisement of no address."""
    TUNNEL_TOO_SHORT = 26
    """A tunnel's packet that ends inside its VXLAN or Geneve header, or has no UDP header."""
    GENEVE_OPTION = 27
    """A Geneve option that is cut."""
    NESTED_TOO_DEEP = 28
    """More packets inside of packets than are taken apart."""
    GOB = 29
    """A notice or access log whose gob is damaged, or of another type."""
    LOG_TIME = 30
    """An access log whose time is no RFC 3339 time of the years 1 to 9999."""
    LOG_URL = 31
    """An access log whose URL is none."""
