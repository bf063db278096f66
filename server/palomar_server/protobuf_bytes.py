"""Protobuf's wire format, for the few fields that are written without protobuf: many at a time."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes: TypeAlias = NDArray[np.uint8]

_NS_PER_S = 1_000_000_000
_LENGTH_DELIMITED = 2
_MORE = 0x80
_SHIFTS = np.arange(0, 35, 7, dtype=np.uint64)
_MORE_FOLLOWS = np.array([_MORE] * 4 + [0], np.uint8)
VARINT_BYTES = len(_SHIFTS)
"""Of numbers that are written at a fixed length: up to 35 bits."""


@lru_cache(maxsize=65_536)
def varint(number: int) -> bytes:
    """Encode an unsigned number as protobuf's base-128 varint."""
    out = bytearray()
    while number >= _MORE:
        out.append(number & 0x7F | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(number: int) -> bytes:
    """The tag of a field whose content has its length in front."""
    return varint(number << 3 | _LENGTH_DELIMITED)


def field(number: int, content: bytes) -> bytes:
    """A field whose content has its length in front."""
    return tag(number) + varint(len(content)) + content


def timestamp(time_ns: int) -> bytes:
    """A serialised google.protobuf.Timestamp with its length in front."""
    seconds, nanos = divmod(time_ns, _NS_PER_S)
    content = b"\x08" + varint(seconds) + (b"\x10" + varint(nanos) if nanos else b"")
    return varint(len(content)) + content


def varints(numbers: NDArray[np.uint64]) -> Bytes:
    """Encode numbers below 2^35 as varints of `VARINT_BYTES` each; shape (n, VARINT_BYTES).

    Small numbers so have groups of zero bits at the end: more than need be, but every decoder of
    protobuf reads them, and rows of equal length can be made by the thousand.
    """
    groups = (numbers[:, np.newaxis] >> _SHIFTS).astype(np.uint8)
    groups &= 0x7F
    groups |= _MORE_FOLLOWS
    return groups


def seconds_and_nanos(times_ns: NDArray[np.uint64]) -> tuple[Bytes, Bytes]:
    """The two fields of google.protobuf.Timestamp; shapes (n, 1 + VARINT_BYTES)."""
    seconds, nanos = np.divmod(times_ns, np.uint64(_NS_PER_S))
    return _with_tag(0x08, varints(seconds)), _with_tag(0x10, varints(nanos))


def _with_tag(byte: int, content: Bytes) -> Bytes:
    return np.column_stack((np.full(len(content), byte, np.uint8), content))
