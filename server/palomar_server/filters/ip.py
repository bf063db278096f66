"""FlowFilter.source_ip, destination_ip and source_ip_xlated: addresses and CIDR prefixes.

Columns hold numbers, and flows show them in one way: an address that is written in another one
matches nothing. An address that lies in ::ffff:0:0/96 is shown as IPv4, and so are only prefixes of
IPv4 for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_proto.flow_filter.address import address_number
from palomar_server.address import (
    MAPPED_PREFIX_BITS,
    MAPPED_PREFIX_LO,
    MASK64,
    format_address,
    prefix_masks,
)
from palomar_server.address_index import AddressIndex
from palomar_server.filters.predicate import has_flags, with_messages
from palomar_server.flow_message import POINTS_REVERSE
from palomar_server.table import Flag

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from palomar_proto.flow_filter.address import AddressSet, Prefix
    from palomar_server.address import Address
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View

    _Halves: TypeAlias = NDArray[np.uint64]

_FEW = 4
"""So many comparisons cost less than a look-up in an index."""
_IPV4 = 4
_ADDRESS_BITS = 128
_MAPPED_SHIFT = np.uint64(32)
_MAPPED_TOP = np.uint64(MAPPED_PREFIX_LO >> 32)
_TRACE_SOCK = np.uint8(MessageType.TRACE_SOCK)
_REVERSE = np.zeros(256, np.bool_)
_REVERSE[list(POINTS_REVERSE)] = True
"""By the point of a socket event: whether the pod that made the call is the destination."""


def compile_ip(field: FieldFilter) -> Predicate:
    """Flows with one of the addresses at that end."""
    is_wanted = _Lookups(field.parsed)
    has_ip = has_flags(Flag.IP)
    hi_column, lo_column = f"{field.side}_hi", f"{field.side}_lo"
    reverse = field.side == "destination"

    def predicate(view: View) -> Mask:
        his, los = view.column(hi_column), view.column(lo_column)
        mask = is_wanted(his, los)
        mask &= has_ip(view)
        # The pod that made a socket call may not be known: then it has no address, not ::.
        for index in (mask & (his | los == 0)).nonzero()[0].tolist():
            row = view.take(np.array([index]))
            if row.column("event_type")[0] == _TRACE_SOCK:
                mask[index] = _REVERSE[row.column("event_subtype")[0]] != reverse
        return mask

    return with_messages(predicate, field.test)


def compile_ip_xlated(field: FieldFilter) -> Predicate:
    """Flows whose source was translated into one of the addresses."""
    is_wanted = _Lookups(field.parsed)
    is_translated = has_flags(Flag.IP | Flag.XLATED)

    def predicate(view: View) -> Mask:
        mask = is_wanted(view.column("source_xlated_hi"), view.column("source_xlated_lo"))
        mask &= is_translated(view)
        return mask

    return with_messages(predicate, field.test)


class _Lookups:
    """One look-up for all prefixes of a version and length, however many there are."""

    def __init__(self, addresses: AddressSet) -> None:
        wanted: dict[tuple[int, int], set[Address]] = {}
        for text in addresses.texts:
            if (number := _column_number(text)) is not None:
                wanted.setdefault((0, _ADDRESS_BITS), set()).add(_halves(number))
        for prefix in addresses.prefixes:
            number, length = _column_prefix(prefix)
            wanted.setdefault((prefix.version, length), set()).add(_halves(number))
        self._lookups = [
            _Lookup(version, length, members) for (version, length), members in wanted.items()
        ]

    def __call__(self, his: _Halves, los: _Halves) -> Mask:
        mask: Mask = np.zeros(len(his), np.bool_)
        # Columns lie scattered among the others of their rows, and each look-up reads all of them.
        his, los = np.ascontiguousarray(his), np.ascontiguousarray(los)
        for lookup in self._lookups:
            mask |= lookup.holds(his, los)
        return mask


class _Lookup:
    """Prefixes of one version and length; version 0 are addresses."""

    def __init__(self, version: int, length: int, members: set[Address]) -> None:
        self._version = version
        self._mask_hi, self._mask_lo = (np.uint64(half) for half in prefix_masks(length))
        self._few = [(np.uint64(hi), np.uint64(lo)) for hi, lo in members]
        self._many: AddressIndex | None = None
        if len(members) > _FEW:
            # Owned from the beginning of time by row 1.
            self._many = AddressIndex({address: [(0, 1)] for address in members})

    def holds(self, his: _Halves, los: _Halves) -> Mask:
        """Which addresses lie in one of the prefixes, shape (n,)."""
        networks_hi, networks_lo = his & self._mask_hi, los & self._mask_lo
        found: Mask
        if self._many is not None:
            found = self._many.rows(networks_hi, networks_lo, his) != 0
        else:
            found = np.zeros(len(his), np.bool_)
            for hi, lo in self._few:
                found |= (networks_lo == lo) & (networks_hi == hi)
        if self._version:
            is_ipv4 = (los >> _MAPPED_SHIFT == _MAPPED_TOP) & (his == 0)
            found &= is_ipv4 if self._version == _IPV4 else ~is_ipv4
        return found


def _column_number(text: str) -> int | None:
    """An address as columns hold it; None for one that no column is shown as."""
    parsed = address_number(text)
    if parsed is None:
        return None
    version, number = parsed
    if version == _IPV4:
        number |= MAPPED_PREFIX_LO
    return number if format_address(*_halves(number)) == text else None


def _column_prefix(prefix: Prefix) -> tuple[int, int]:
    """(number, length) of a prefix as columns hold addresses."""
    if prefix.version == _IPV4:
        return prefix.network | MAPPED_PREFIX_LO, prefix.length + MAPPED_PREFIX_BITS
    return prefix.network, prefix.length


def _halves(number: int) -> Address:
    return number >> 64, number & MASK64
