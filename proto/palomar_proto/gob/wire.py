"""The scalars of encoding/gob: how numbers stand in the bytes.

Format: the package documentation of Go's encoding/gob, section "Encoding Details".
"""

from __future__ import annotations

import struct

_FLOAT = struct.Struct("<d")
_UINT_BYTES_MAX = 8
ONE_BYTE_END = 0x80
"""Numbers below are one byte."""
_ALL_ONES = (1 << 64) - 1


class GobError(ValueError):
    """The bytes are not a gob, or say something this codec has no room for."""


class DataEndError(GobError):
    """A number is due where the data end: what Go's decoder takes for the end of its input."""


def read_uint(data: bytes, at: int) -> tuple[int, int]:
    """The unsigned number at `at`, and where it ends.

    Below 128 it is one byte, otherwise the negated count of the big-endian bytes that follow.

    Raises:
        GobError: it has more than 8 bytes or reaches beyond `data`; a `DataEndError` if nothing
            of it is there.
    """
    if at >= len(data):
        raise DataEndError(f"the data end at byte {at}, where a number is due")
    first = data[at]
    if first < ONE_BYTE_END:
        return first, at + 1
    width = 256 - first
    if width > _UINT_BYTES_MAX:
        raise GobError(f"a number of {width} bytes at byte {at}; at most {_UINT_BYTES_MAX} fit")
    end = at + 1 + width
    if end > len(data):
        raise GobError(f"a number of {width} bytes at byte {at} reaches beyond the data")
    return int.from_bytes(data[at + 1 : end]), end


def read_int(data: bytes, at: int) -> tuple[int, int]:
    """The signed number at `at`, and where it ends; its lowest bit says "complement me".

    Raises:
        GobError: as `read_uint`.
    """
    value, end = read_uint(data, at)
    return (~(value >> 1) if value & 1 else value >> 1), end


def read_float(data: bytes, at: int) -> tuple[float, int]:
    """The float at `at`, and where it ends; its bytes are reversed, so that zeros can be cut.

    Raises:
        GobError: as `read_uint`.
    """
    bits, end = read_uint(data, at)
    return _FLOAT.unpack(bits.to_bytes(8, "big"))[0], end


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """The counted bytes at `at`, and where they end.

    Raises:
        GobError: the count is more than is there, or as `read_uint`.
    """
    length, at = read_uint(data, at)
    end = at + length
    if end > len(data):
        raise GobError(f"{length} bytes announced at byte {at}, {len(data) - at} are there")
    return data[at:end], end


def uint_bytes(value: int) -> bytes:
    """The shortest encoding of an unsigned number.

    Raises:
        GobError: it is negative or has more than 64 bits.
    """
    if 0 <= value < ONE_BYTE_END:
        return bytes((value,))
    if not 0 <= value <= _ALL_ONES:
        raise GobError(f"{value} is not an unsigned number of 64 bits")
    width = (value.bit_length() + 7) // 8
    return bytes((256 - width,)) + value.to_bytes(width, "big")


def int_bytes(value: int) -> bytes:
    """The shortest encoding of a signed number.

    Raises:
        GobError: it has more than 64 bits.
    """
    if not -(1 << 63) <= value < 1 << 63:
        raise GobError(f"{value} is not a signed number of 64 bits")
    return uint_bytes(~value << 1 | 1 if value < 0 else value << 1)


def float_bytes(value: float) -> bytes:
    """The encoding of a float."""
    return uint_bytes(int.from_bytes(_FLOAT.pack(value), "big"))
