"""Single values of the protobuf wire format as JSON text, after the protojson mapping.

In: the number or bytes that stand behind a field's tag. Out: JSON. Used by `palomar.protojson`,
which puts them together.
"""

import struct
from base64 import b64encode
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from math import isfinite, isnan
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

Reader = Callable[[Any], str]
"""Takes the int of a varint, or the bytes of everything else."""

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
FIXED_BYTES = {_FIXED_64: 8, _FIXED_32: 4}
"""Sizes of the wire types that have one."""

WIRE_KINDS = {
    FieldDescriptor.TYPE_STRING: _BYTES,
    FieldDescriptor.TYPE_BYTES: _BYTES,
    FieldDescriptor.TYPE_MESSAGE: _BYTES,
    FieldDescriptor.TYPE_DOUBLE: _FIXED_64,
    FieldDescriptor.TYPE_FIXED64: _FIXED_64,
    FieldDescriptor.TYPE_SFIXED64: _FIXED_64,
    FieldDescriptor.TYPE_FLOAT: _FIXED_32,
    FieldDescriptor.TYPE_FIXED32: _FIXED_32,
    FieldDescriptor.TYPE_SFIXED32: _FIXED_32,
}
"""Wire type by type of field; the other types are varints."""

_SIGN = 1 << 63
_FLOAT_DIGITS = range(6, 9)
_FLOAT_DIGITS_MAX = 9


def varint(data: bytes, position: int) -> tuple[int, int]:
    """Read a number of variable length; also tell where it ends."""
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says it goes on
            return number, position
        shift += 7


def raw_value(kind: int, data: bytes, position: int) -> tuple[int | bytes, int]:
    """Read what stands behind a tag; also tell where it ends."""
    if kind == _VARINT:
        return varint(data, position)
    if kind == _BYTES:
        size, position = varint(data, position)
    else:
        size = FIXED_BYTES[kind]
    return data[position : position + size], position + size


def enum_reader(enum: EnumDescriptor) -> Reader:
    """Make a reader that names the values of an enumeration."""
    names = {value.number: f'"{value.name}"' for value in reversed(enum.values)}
    return lambda number: names.get(number) or _signed(number)


def _string(data: bytes) -> str:
    return encode_basestring_ascii(data.decode())


def _bytes(data: bytes) -> str:
    return f'"{b64encode(data).decode()}"'


def _boolean(number: int) -> str:
    return "true" if number else "false"


def _signed(number: int) -> str:
    return str(number if number < _SIGN else number - 2 * _SIGN)


def _zigzag(number: int) -> str:
    return str(number >> 1 ^ -(number & 1))


def _wide(read: Reader) -> Reader:
    # As text, since programs that take numbers for floats would round it.
    return lambda value: f'"{read(value)}"'


def _fixed(layout: str) -> Reader:
    unpack = struct.Struct(layout).unpack
    return lambda data: str(*unpack(data))


def _double(data: bytes) -> str:
    return _floating(*struct.unpack("<d", data))


def _float(data: bytes) -> str:
    (value,) = struct.unpack("<f", data)
    for digits in _FLOAT_DIGITS:  # the shortest text that reads as the same 32 bits
        text = float(f"{value:.{digits}g}")
        if isfinite(value) and struct.pack("<f", text) == data:
            return _floating(text)
    return _floating(float(f"{value:.{_FLOAT_DIGITS_MAX}g}"))


def _floating(value: float) -> str:
    if isfinite(value):
        return repr(value)
    return '"NaN"' if isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


READERS: dict[int, Reader] = {
    FieldDescriptor.TYPE_STRING: _string,
    FieldDescriptor.TYPE_BYTES: _bytes,
    FieldDescriptor.TYPE_BOOL: _boolean,
    FieldDescriptor.TYPE_INT32: _signed,
    FieldDescriptor.TYPE_UINT32: str,
    FieldDescriptor.TYPE_SINT32: _zigzag,
    FieldDescriptor.TYPE_INT64: _wide(_signed),
    FieldDescriptor.TYPE_UINT64: _wide(str),
    FieldDescriptor.TYPE_SINT64: _wide(_zigzag),
    FieldDescriptor.TYPE_FIXED32: _fixed("<I"),
    FieldDescriptor.TYPE_SFIXED32: _fixed("<i"),
    FieldDescriptor.TYPE_FIXED64: _wide(_fixed("<Q")),
    FieldDescriptor.TYPE_SFIXED64: _wide(_fixed("<q")),
    FieldDescriptor.TYPE_DOUBLE: _double,
    FieldDescriptor.TYPE_FLOAT: _float,
}
"""Readers by type of field."""
