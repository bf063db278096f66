"""IP addresses as two 64-bit columns, and back to text.

An address is its 16 bytes as two big-endian numbers `hi` and `lo`; an IPv4 address stands as the
IPv4-mapped ::ffff:a.b.c.d of RFC 4291 section 2.5.5.2, so one pair of columns serves both families.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TypeAlias

Address: TypeAlias = tuple[int, int]
"""(hi, lo)."""

MAPPED_PREFIX_LO = 0x0000_FFFF_0000_0000
MAPPED_PREFIX_BITS = 96
"""The block ::ffff:0:0/96, where IPv4 addresses stand; its `hi` is 0."""
MASK64 = (1 << 64) - 1
_IPV4_BITS = 32


def parse_address(text: str) -> Address:
    """Split an IPv4 or IPv6 address into (hi, lo).

    Raises:
        ValueError: `text` is no address.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return 0, MAPPED_PREFIX_LO | int(address)
    number = int(address)
    return number >> 64, number & MASK64


def parse_prefix(text: str) -> tuple[Address, int]:
    """Split a CIDR prefix into its (hi, lo) and its length in the 128-bit space.

    Host bits may be set, as in `10.1.2.3/8`; they are cleared.

    Raises:
        ValueError: `text` is no prefix.
    """
    length = text.partition("/")[2]
    # ip_network would take netmasks for the length, and zones, which belong to one link.
    if not (length.isascii() and length.isdigit()) or "%" in text:
        raise ValueError(f"{text!r} is no CIDR prefix")
    network = ipaddress.ip_network(text, strict=False)
    hi_lo = parse_address(str(network.network_address))
    shift = MAPPED_PREFIX_BITS if network.version == 4 else 0  # noqa: PLR2004 - the IP version
    return hi_lo, network.prefixlen + shift


def prefix_masks(length_bits: int) -> Address:
    """The (hi, lo) masks of a prefix of `length_bits` in the 128-bit space."""
    mask = ((1 << 128) - 1) ^ ((1 << (128 - length_bits)) - 1)
    return mask >> 64, mask & MASK64


@lru_cache(maxsize=65_536)
def format_address(hi: int, lo: int) -> str:
    """Write an address as RFC 5952 text, one in ::ffff:0:0/96 as IPv4, as Go's net.IP does."""
    if hi == 0 and lo >> _IPV4_BITS == MAPPED_PREFIX_LO >> _IPV4_BITS:
        return f"{lo >> 24 & 255}.{lo >> 16 & 255}.{lo >> 8 & 255}.{lo & 255}"
    return str(ipaddress.IPv6Address(hi << 64 | lo))
