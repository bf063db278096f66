"""The hop-by-hop options header of IPv6, by columns. Sources: RFC 8200 section 4.3, RFC 2675."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_server.decode.gather import gather
from palomar_server.decode.malformed import Malformed

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PAD1 = 0
_JUMBO = 0xC2
_JUMBO_DATA_BYTES = 4
_JUMBO_LEAST = 65_536
_JUMBO_OPTION = np.dtype([("kind", "u1"), ("length", "u1"), ("bytes", ">u4")])


@dataclass(frozen=True, slots=True)
class HopByHop:
    """n hop-by-hop headers."""

    protocol: NDArray[np.uint8]
    """What follows."""
    length_bytes: NDArray[np.int64]
    jumbo_bytes: NDArray[np.int64]
    """Length of the payload by the jumbo payload option; 0 without one."""
    fault: NDArray[np.uint8]
    """`Malformed`."""


def read_hop_by_hop(
    buffer: NDArray[np.uint8], at: NDArray[np.int64], end: NDArray[np.int64]
) -> HopByHop:
    """Read hop-by-hop headers and their options.

    Args:
        buffer: the bytes, padded.
        at: offsets of n headers, shape (n,).
        end: offsets behind the packets that they are in, shape (n,).
    """
    length = (buffer[at + 1].astype(np.int64) + 1) * 8
    fault = np.zeros(len(at), np.uint8)
    fault[at + length > end] = Malformed.IPV6_EXTENSION_TOO_SHORT
    jumbo = np.zeros(len(at), np.int64)
    which = (fault == 0).nonzero()[0]
    option, behind, stop = at[which] + 2, (at + length)[which], end[which]
    # Options may end beyond the header, but not beyond the packet; that is how Hubble has it. Each
    # step takes one option of all rows, and a byte at least.
    while which.size:
        kind = buffer[option]
        size = np.where(kind == _PAD1, 1, buffer[option + 1].astype(np.int64) + 2)
        bad = option + np.maximum(size, 2) > stop
        if np.count_nonzero(bad):
            fault[which[bad]] = Malformed.IPV6_OPTION
        # The first jumbo option counts.
        is_jumbo = ((kind == _JUMBO) & ~bad & (jumbo[which] == 0)).nonzero()[0]
        if is_jumbo.size:
            found = gather(buffer, option[is_jumbo], _JUMBO_OPTION)
            jumbo[which[is_jumbo]] = found["bytes"]
            wrong = found["length"] != _JUMBO_DATA_BYTES
            wrong |= found["bytes"] < _JUMBO_LEAST
            # Said only if no option behind it is broken; nor is it asked for twice.
            jumbo[which[is_jumbo[wrong]]] = -1
        option = option + size
        goes_on = ~bad & (option < behind)
        which, option = which[goes_on], option[goes_on]
        behind, stop = behind[goes_on], stop[goes_on]
    fault[(jumbo < 0) & (fault == 0)] = Malformed.IPV6_JUMBO_LENGTH
    return HopByHop(buffer[at], length, jumbo, fault)
