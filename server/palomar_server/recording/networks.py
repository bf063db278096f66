"""From addresses, as filters and the flow table have them, to networks, as the kernel's rules do.

The table has IPv4 addresses in the block ::ffff:0:0/96; rules have networks of both versions. An
IPv6 packet with an address of that block, which must not be on any wire, is shown as one of IPv4
and still no rule's for IPv4.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from palomar_proto.flow_filter.address import address_number
from palomar_server.address import MAPPED_PREFIX_BITS, MAPPED_PREFIX_LO, format_address

if TYPE_CHECKING:
    from typing import TypeAlias

    from palomar_proto.flow_filter.address import AddressSet
    from palomar_server.address import Address

    Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_IPV4 = 4
_ADDRESS_BITS = 128
_IPV4_BITS = 32
_IPV4_MASK = 0xFFFF_FFFF
_MAPPED_TOP = MAPPED_PREFIX_LO >> _IPV4_BITS
EVERY_IPV4 = ipaddress.IPv4Network("0.0.0.0/0")
EVERY_IPV6 = ipaddress.IPv6Network("::/0")


@lru_cache(maxsize=16_384)
def network_of(address: Address, length: int) -> Network:
    """The network of an address, or prefix, of the flow table's columns.

    Args:
        address: its halves.
        length: in the 128-bit space.
    """
    hi, lo = address
    if hi == 0 and lo >> _IPV4_BITS == _MAPPED_TOP and length >= MAPPED_PREFIX_BITS:
        return ipaddress.IPv4Network((lo & _IPV4_MASK, length - MAPPED_PREFIX_BITS))
    return ipaddress.IPv6Network((hi << 64 | lo, length))


def networks_in(addresses: AddressSet) -> tuple[Network, ...]:
    """What an address of a flow must lie in to match the values of an address filter.

    An address that is written otherwise than flows show it matches nothing.
    """
    found: dict[Network, None] = {}
    for text in sorted(addresses.texts):
        parsed = address_number(text)
        if parsed is None:
            continue
        version, number = parsed
        if version == _IPV4:
            found[ipaddress.IPv4Network((number, 32))] = None
        elif format_address(number >> 64, number & ((1 << 64) - 1)) == text:
            found[ipaddress.IPv6Network((number, _ADDRESS_BITS))] = None
    for prefix in addresses.prefixes:
        if prefix.version == _IPV4:
            found[ipaddress.IPv4Network((prefix.network, prefix.length))] = None
            continue
        network = ipaddress.IPv6Network((prefix.network, prefix.length))
        if not network.subnet_of(_MAPPED):
            found[network] = None
    return tuple(found)
