"""source_ip, destination_ip and source_ip_xlated: addresses and CIDR prefixes.

An address is compared as text: `FD00::A` or `fd00:0::a` never match the flow's `fd00::a`. A prefix
is compared as a number, within its IP version: ::ffff:0:0/96 takes IPv4-mapped addresses and no
IPv4 ones. What is an address and what a prefix is decided as Go's net/netip does.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from palomar_proto.flow_filter.error import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterable

_BITS = {4: 32, 6: 128}
_LENGTH_DIGITS_MAX = 3
_ADDRESS_CHARACTERS_MAX = 256
"""Far over the longest address; a zone may be of any length, but nobody has such an interface."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """A CIDR prefix."""

    version: int
    """4 or 6."""
    length: int
    """Leading bits that count, 0..32 or 0..128."""
    network: int
    """The address as a number, with the bits behind `length` cleared."""

    def holds(self, version: int, number: int) -> bool:
        """Whether the address with that IP version and number is within."""
        shift = _BITS[self.version] - self.length
        return version == self.version and number >> shift == self.network >> shift


@dataclass(frozen=True, slots=True)
class AddressSet:
    """Addresses and prefixes, as alternatives."""

    texts: frozenset[str]
    """Addresses as they were written."""
    prefixes: tuple[Prefix, ...]

    def matches(self, address: str) -> bool:
        """Whether a flow's address, as text, is one of these; an empty one never is."""
        if not address:
            return False
        if address in self.texts:
            return True
        if not self.prefixes:
            return False
        parsed = address_number(address)
        return parsed is not None and any(prefix.holds(*parsed) for prefix in self.prefixes)


def parse_addresses(field: str, values: Iterable[str]) -> AddressSet:
    """The addresses and prefixes of a field.

    Raises:
        FilterError: a value is neither.
    """
    texts: set[str] = set()
    prefixes: dict[Prefix, None] = {}
    for value in values:
        if "/" in value:
            prefixes[_prefix(field, value)] = None
        elif _address(value) is None:
            raise FilterError(field, value, "is no IP address")
        else:
            texts.add(value)
    return AddressSet(frozenset(texts), tuple(prefixes))


def read_prefix(text: str) -> Prefix:
    """A CIDR prefix; bits behind its length may be set.

    Raises:
        ValueError: the text is none; says why.
    """
    # The last slash parts the length from the address.
    before, slash, digits = text.rpartition("/")
    address = _address(before)
    if not slash or address is None:
        raise ValueError("what is before the slash is no address")
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError("it has a zone")
    plain = digits.isascii() and digits.isdigit() and len(digits) <= _LENGTH_DIGITS_MAX
    if not plain or (len(digits) > 1 and digits.startswith("0")):
        raise ValueError("what is behind the slash is no length")
    bits, length = _BITS[address.version], int(digits)
    if length > bits:
        raise ValueError(f"its length is over {bits}")
    shift = bits - length
    return Prefix(address.version, length, int(address) >> shift << shift)


def _prefix(field: str, value: str) -> Prefix:
    try:
        return read_prefix(value)
    except ValueError as error:
        raise FilterError(field, value, f"is no CIDR prefix: {error}") from None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if len(text) > _ADDRESS_CHARACTERS_MAX:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


@lru_cache(maxsize=4_096)
def address_number(text: str) -> tuple[int, int] | None:
    """(IP version, number) of a flow's address; None if it is none, or has a zone."""
    address = _address(text)
    if address is None or (isinstance(address, ipaddress.IPv6Address) and address.scope_id):
        return None
    return address.version, int(address)
