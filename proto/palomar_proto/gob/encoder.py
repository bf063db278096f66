"""Encode values of given types as Go's encoder does, byte for byte.

Struct values are mappings; a field that is absent or zero is left out, as Go leaves it out. Struct
and array fields that are there are sent even when zero; so does Go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from palomar_proto.gob.types import (
    FIRST_USER_ID,
    WIRE_TYPE,
    Array,
    Basic,
    Map,
    Opaque,
    Slice,
    Struct,
)
from palomar_proto.gob.wire import GobError, float_bytes, int_bytes, uint_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_proto.gob.types import Type

Write: TypeAlias = "Callable[[Any], bytes]"
"""Encodes a value of one type."""

_ONE = uint_bytes(1)
_END = uint_bytes(0)


class Encoder:
    """Encodes values of one type into one stream.

    Go numbers types in the order in which a process first uses them, so the ids differ between
    processes; readers go by the descriptions.

    Args:
        described: the type of the values.
        first_id: the id to begin numbering with.
    """

    def __init__(self, described: Type, first_id: int = FIRST_USER_ID) -> None:
        self._next_id = first_id
        self._ids: dict[Type, int] = {}
        self._write = _writer(described)
        is_struct = isinstance(described, Struct)
        type_id = self._number(described)
        self._head = int_bytes(type_id) + (b"" if is_struct else _END)
        self._descriptions = b"".join(
            message(int_bytes(-number) + self._description(one))
            for one, number in self._in_order(described, [])
        )

    @property
    def descriptions(self) -> bytes:
        """The type descriptions that open a stream; to be sent once, before the first value."""
        return self._descriptions

    def encode(self, value: Any) -> bytes:
        """One value as a message, without descriptions.

        Raises:
            GobError: a number does not fit.
        """
        return message(self._head + self._write(value))

    def _number(self, described: Type) -> int:
        """The id of a type; structs count before their fields, all else after its parts."""
        if isinstance(described, Basic):
            return int(described)
        if (known := self._ids.get(described)) is not None:
            return known
        if isinstance(described, Struct | Opaque):
            self._take_id(described)
        for part in _parts(described):
            self._number(part)
        if described not in self._ids:
            self._take_id(described)
        return self._ids[described]

    def _take_id(self, described: Type) -> None:
        self._ids[described] = self._next_id
        self._next_id += 1

    def _in_order(self, described: Type, done: list[tuple[Type, int]]) -> list[tuple[Type, int]]:
        """The types to describe: each before its parts."""
        if not isinstance(described, Basic) and all(one != described for one, _ in done):
            done.append((described, self._ids[described]))
            for part in _parts(described):
                self._in_order(part, done)
        return done

    def _description(self, described: Type) -> bytes:
        common = {"Name": getattr(described, "name", ""), "Id": self._ids[described]}
        wire_type: dict[str, Any]
        if isinstance(described, Struct):
            fields = [{"Name": name, "Id": self._number(one)} for name, one in described.fields]
            wire_type = {"StructT": {"CommonType": common, "Field": fields}}
        elif isinstance(described, Map):
            key, value = self._number(described.key), self._number(described.value)
            wire_type = {"MapT": {"CommonType": common, "Key": key, "Elem": value}}
        elif isinstance(described, Slice):
            element = self._number(described.element)
            wire_type = {"SliceT": {"CommonType": common, "Elem": element}}
        elif isinstance(described, Array):
            element = self._number(described.element)
            wire_type = {"ArrayT": {"CommonType": common, "Elem": element, "Len": described.length}}
        else:
            assert isinstance(described, Opaque)  # noqa: S101 - tells mypy what is left
            wire_type = {described.marshaler.value: {"CommonType": common}}
        return _WRITE_WIRE_TYPE(wire_type)


def message(body: bytes) -> bytes:
    """The body behind its length."""
    return uint_bytes(len(body)) + body


def _parts(described: Type) -> tuple[Type, ...]:
    if isinstance(described, Struct):
        return tuple(one for _, one in described.fields)
    if isinstance(described, Map):
        return (described.key, described.value)
    if isinstance(described, Slice | Array):
        return (described.element,)
    return ()


def _write_string(value: str) -> bytes:
    data = value.encode()
    return uint_bytes(len(data)) + data


def _write_bytes(value: bytes) -> bytes:
    return uint_bytes(len(value)) + value


def _write_complex(value: complex) -> bytes:
    return float_bytes(value.real) + float_bytes(value.imag)


_BASIC: dict[Basic, Write] = {
    Basic.BOOL: lambda value: uint_bytes(int(value)),
    Basic.INT: int_bytes,
    Basic.UINT: uint_bytes,
    Basic.FLOAT: float_bytes,
    Basic.BYTES: _write_bytes,
    Basic.STRING: _write_string,
    Basic.COMPLEX: _write_complex,
}


def _writer(described: Type) -> Write:
    if isinstance(described, Basic):
        return _BASIC[described]
    if isinstance(described, Struct):
        return _struct_writer(described)
    if isinstance(described, Map):
        write_key, write_value = _writer(described.key), _writer(described.value)
        return lambda value: (
            uint_bytes(len(value))
            + b"".join(write_key(key) + write_value(one) for key, one in value.items())
        )
    if isinstance(described, Opaque):
        return _write_bytes
    write_element = _writer(described.element)
    length = described.length if isinstance(described, Array) else None

    def write(value: Any) -> bytes:
        if length is not None and len(value) != length:
            raise GobError(f"an array of {len(value)} elements; its type says {length}")
        return uint_bytes(len(value)) + b"".join(map(write_element, value))

    return write


def _struct_writer(described: Struct) -> Write:
    fields = [
        (name, _writer(one), isinstance(one, Struct | Array)) for name, one in described.fields
    ]

    def write(value: Any) -> bytes:
        parts: list[bytes] = []
        gap = 1
        for name, write_field, even_if_zero in fields:
            field = value.get(name)
            # -0.0 equals 0.0 and is left out by Go likewise.
            if field is None or not (field or even_if_zero):
                gap += 1
                continue
            parts += (_ONE if gap == 1 else uint_bytes(gap), write_field(field))
            gap = 1
        return b"".join((*parts, _END))

    return write


_WRITE_WIRE_TYPE = _struct_writer(WIRE_TYPE)
