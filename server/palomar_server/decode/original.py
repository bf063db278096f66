"""The source address before translation, which trace messages carry since version 1.

Hubble shows it as the source, and the one in the packet as `source_xlated` where they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from palomar_server.address import MAPPED_PREFIX_LO
from palomar_server.table import Flag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.table import Rows

    _Column: TypeAlias = NDArray[np.uint64]

_MAPPED, _UPPER = np.uint64(MAPPED_PREFIX_LO), np.uint64(32)
_NONE = np.uint64(0)
_ORIGINAL, _XLATED = np.uint8(Flag.ORIGINAL), np.uint8(Flag.XLATED)
_IP = np.uint8(Flag.IP)


@dataclass(frozen=True, slots=True)
class Originals:
    """Sources before translation of the rows of one group; unspecified addresses are none."""

    where: slice
    """The rows, m of them."""
    hi: _Column
    lo: _Column
    """Addresses, shape (m,), IPv4 mapped into IPv6."""
    ipv6: bool
    """Whether any is IPv6."""


def address_columns(
    hi: NDArray[np.uint64], lo: NDArray[np.uint64], ipv6: NDArray[np.bool_] | None
) -> tuple[_Column, _Column]:
    """Addresses of a head as columns have them.

    Args:
        hi: the first 8 bytes as a number, shape (n,); IPv4 is in their upper half.
        lo: the last 8 bytes.
        ipv6: which are IPv6; None if none are.

    Returns:
        (hi, lo), IPv4 mapped into IPv6.
    """
    v4 = hi >> _UPPER
    v4 |= _MAPPED
    if ipv6 is None:
        return np.zeros(len(v4), np.uint64), v4
    return hi * ipv6, np.where(ipv6, lo, v4)


def apply_originals(rows: Rows, originals: Originals) -> None:
    """Make the address before translation the source of those rows that have one."""
    part = rows[originals.where]
    hi, lo = originals.hi, originals.lo
    given: NDArray[np.bool_] = lo != _MAPPED
    if originals.ipv6:
        given &= hi | lo != _NONE
    if not np.count_nonzero(given):
        return
    part["flags"] |= given.view(np.uint8) * _ORIGINAL
    differs = lo != part["source_lo"]
    differs |= hi != part["source_hi"]
    differs &= given
    which = differs.nonzero()[0]
    if which.size:
        which = which[part["flags"][which] & _IP != 0]
    if not which.size:
        return
    part["source_xlated_hi"][which] = part["source_hi"][which]
    part["source_xlated_lo"][which] = part["source_lo"][which]
    part["source_hi"][which], part["source_lo"][which] = hi[which], lo[which]
    part["flags"][which] |= _XLATED
