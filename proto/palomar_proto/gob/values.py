"""Read values by the types that a stream has described: every type becomes one function.

Every length is held against what is there; types and nesting are bounded.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from palomar_proto.gob import wire
from palomar_proto.gob.types import (
    FIRST_USER_ID,
    INTERFACE_ID,
    WIRE_TYPE,
    Array,
    Basic,
    Map,
    Opaque,
    Received,
    ReceivedMap,
    ReceivedSequence,
    ReceivedStruct,
    Slice,
    Struct,
    received,
)
from palomar_proto.gob.wire import ONE_BYTE_END, GobError, read_bytes, read_int, read_uint

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_proto.gob.types import Type

DESCRIPTION_BYTES_MAX = 1 << 18
"""Type descriptions kept for one stream, in bytes; the largest known, LogRecord, takes 1.4 KB."""
NESTING_MAX = 64
"""How deep values and types may be nested: Python's stack is not for strangers to spend."""

Read: TypeAlias = "Callable[[bytes, int, int], tuple[Any, int]]"
"""Reads a value of one type from (message, position, nesting): the value and where it ends."""


class Concrete(NamedTuple):
    """A value that was sent in an interface."""

    type_name: str
    """The name under which Go registered its type."""
    value: Any


class Types:
    """The types a stream has described so far, and how to read values of them."""

    def __init__(self) -> None:
        self.received: dict[int, Received] = {}
        """Each type described, by its id."""
        self._readers: dict[int, Read] = {}
        self._room_bytes = DESCRIPTION_BYTES_MAX

    def define(self, type_id: int, data: bytes, at: int) -> int:
        """Take in the description of a type, and say where it ends.

        Raises:
            GobError: the type is known already, or the description is damaged or too much.
        """
        if type_id < FIRST_USER_ID or type_id in self.received:
            raise GobError(f"duplicate type received: {type_id}")
        wire_type, end = _READ_WIRE_TYPE(data, at, 0)
        self._room_bytes -= end - at
        if self._room_bytes < 0:
            raise GobError(f"more than {DESCRIPTION_BYTES_MAX} bytes of type descriptions")
        self.received[type_id] = received(wire_type)
        return end

    def read_value(self, type_id: int, data: bytes, at: int, nesting: int = 0) -> Any:
        """The value of a message: a struct stands for itself, all else has a 0 in front.

        Raises:
            GobError: the type is not known, or the value is damaged.
        """
        read = self._reader(type_id, 0)
        if not isinstance(self.received.get(type_id), ReceivedStruct):
            delta, at = read_uint(data, at)
            if delta != 0:
                raise GobError(f"field number {delta} before a value that is no struct")
        return read(data, at, nesting)[0]

    def _reader(self, type_id: int, nesting: int) -> Read:
        """The function that reads values of a type, made at the first use of the type."""
        if (known := self._readers.get(type_id) or _BASIC.get(type_id)) is not None:
            return known
        if type_id == INTERFACE_ID:
            return self._read_interface
        if (described := self.received.get(type_id)) is None:
            raise GobError(f"type {type_id} is not described")
        if nesting > NESTING_MAX:
            raise GobError(f"types nested more than {NESTING_MAX} deep")
        # A type may contain itself: until its reader is made, find it by number.
        self._readers[type_id] = partial(self._read_by_id, type_id)
        try:
            read = self._make(described, nesting + 1)
        except GobError:
            del self._readers[type_id]
            raise
        self._readers[type_id] = read
        return read

    def _read_by_id(self, type_id: int, data: bytes, at: int, nesting: int) -> tuple[Any, int]:
        return self._reader(type_id, 0)(data, at, nesting)

    def _make(self, described: Received, nesting: int) -> Read:
        if isinstance(described, ReceivedStruct):
            return _struct(
                tuple((name, self._reader(type_id, nesting)) for name, type_id in described.fields)
            )
        if isinstance(described, ReceivedSequence):
            return _sequence(self._reader(described.element, nesting), described.length)
        if isinstance(described, ReceivedMap):
            return _map(
                self._reader(described.key, nesting), self._reader(described.value, nesting)
            )
        return _read_opaque

    def _read_interface(self, data: bytes, at: int, nesting: int) -> tuple[Any, int]:
        """An interface: the name of the concrete type, its id, a byte count, the value."""
        _check_nesting(nesting)
        name, at = read_bytes(data, at)
        if not name:
            return None, at
        type_id, at = read_int(data, at)
        while type_id < 0:
            at = self.define(-type_id, data, at)
            _, at = read_uint(data, at)  # the byte count of what follows
            type_id, at = read_int(data, at)
        body, at = read_bytes(data, at)
        value = self.read_value(type_id, body, 0, nesting + 1)
        return Concrete(name.decode(errors="replace"), value), at


def _check_nesting(nesting: int) -> None:
    if nesting > NESTING_MAX:
        raise GobError(f"values nested more than {NESTING_MAX} deep")


def _read_bool(data: bytes, at: int, _nesting: int) -> tuple[bool, int]:
    value, at = read_uint(data, at)
    return value != 0, at


def _read_int(data: bytes, at: int, _nesting: int) -> tuple[int, int]:
    return read_int(data, at)


def _read_uint(data: bytes, at: int, _nesting: int) -> tuple[int, int]:
    return read_uint(data, at)


def _read_float(data: bytes, at: int, _nesting: int) -> tuple[float, int]:
    return wire.read_float(data, at)


def _read_opaque(data: bytes, at: int, _nesting: int) -> tuple[bytes, int]:
    return read_bytes(data, at)


def _read_string(data: bytes, at: int, _nesting: int) -> tuple[str, int]:
    value, at = read_bytes(data, at)
    return value.decode(errors="replace"), at


def _read_complex(data: bytes, at: int, _nesting: int) -> tuple[complex, int]:
    real, at = wire.read_float(data, at)
    imaginary, at = wire.read_float(data, at)
    return complex(real, imaginary), at


_BASIC: dict[int, Read] = {
    Basic.BOOL: _read_bool,
    Basic.INT: _read_int,
    Basic.UINT: _read_uint,
    Basic.FLOAT: _read_float,
    Basic.BYTES: _read_opaque,
    Basic.STRING: _read_string,
    Basic.COMPLEX: _read_complex,
}


def _struct(fields: tuple[tuple[str, Read], ...]) -> Read:
    """Fields are told by the difference to the number before, starting from -1; 0 ends them."""
    count = len(fields)

    def read(data: bytes, at: int, nesting: int) -> tuple[dict[str, Any], int]:
        _check_nesting(nesting)
        value: dict[str, Any] = {}
        number = -1
        end = len(data)
        # The end of the data ends a struct too, as it does for Go.
        while at < end:
            delta = data[at]
            at += 1
            if delta >= ONE_BYTE_END:
                delta, at = read_uint(data, at - 1)
            if delta == 0:
                break
            number += delta
            if number >= count:
                raise GobError(f"field {number} of a struct of {count} fields")
            name, read_field = fields[number]
            value[name], at = read_field(data, at, nesting + 1)
        return value, at

    return read


def _sequence(read_element: Read, length: int | None) -> Read:
    def read(data: bytes, at: int, nesting: int) -> tuple[list[Any], int]:
        _check_nesting(nesting)
        count, at = read_uint(data, at)
        if length is not None and count != length:
            raise GobError(f"an array of {count} elements; its type says {length}")
        # No element takes less than a byte.
        if count > len(data) - at:
            raise GobError(f"{count} elements announced, {len(data) - at} bytes are there")
        value = []
        for _ in range(count):
            if at >= len(data):
                raise GobError(f"{count} elements announced, the data end before")
            element, at = read_element(data, at, nesting + 1)
            value.append(element)
        return value, at

    return read


def _map(read_key: Read, read_value: Read) -> Read:
    def read(data: bytes, at: int, nesting: int) -> tuple[dict[Any, Any], int]:
        _check_nesting(nesting)
        count, at = read_uint(data, at)
        if count > len(data) - at:
            raise GobError(f"{count} map entries announced, {len(data) - at} bytes are there")
        value = {}
        for _ in range(count):
            key, at = read_key(data, at, nesting + 1)
            value[_hashable(key)], at = read_value(data, at, nesting + 1)
        return value, at

    return read


def _hashable(key: Any) -> Any:
    """The key itself, or its text where Go can use as a key what Python cannot, as a struct."""
    try:
        hash(key)
    except TypeError:
        return repr(key)
    return key


def _of(described: Type) -> Read:
    """The reader of a type that a program describes."""
    if isinstance(described, Basic):
        return _BASIC[described]
    if isinstance(described, Struct):
        return _struct(tuple((name, _of(field)) for name, field in described.fields))
    if isinstance(described, Slice):
        return _sequence(_of(described.element), None)
    if isinstance(described, Array):
        return _sequence(_of(described.element), described.length)
    if isinstance(described, Map):
        return _map(_of(described.key), _of(described.value))
    if isinstance(described, Opaque):
        return _read_opaque
    raise AssertionError(described)


_READ_WIRE_TYPE = _of(WIRE_TYPE)
