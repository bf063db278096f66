"""Gob types: the descriptions that stand in a stream, and those an encoder is given.

A stream describes each type that is not built in before the first value of it, as a value of the
built-in type `wireType`. Here a description names the types it refers to by number while it comes
from a stream (`Received`), and by object where a program gives it (`Type`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, TypeAlias

from palomar_proto.gob.wire import GobError

FIRST_USER_ID = 64
"""Type ids below are built in or kept for the future."""


class Basic(enum.IntEnum):
    """Types without parts; the value is their type id."""

    BOOL = 1
    INT = 2
    UINT = 3
    FLOAT = 4
    BYTES = 5
    STRING = 6
    COMPLEX = 7


INTERFACE_ID = 8
WIRE_TYPE_ID = 16


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct to encode: its name in Go and its fields in order."""

    name: str
    fields: tuple[tuple[str, Type], ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice (of anything but bytes, which are `Basic.BYTES`)."""

    element: Type
    name: str = ""
    """Go's name of the type, such as `[]string`."""


@dataclass(frozen=True, slots=True)
class Array:
    """An array of a fixed length."""

    element: Type
    length: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Map:
    """A map."""

    key: Type
    value: Type
    name: str = ""


class Marshaler(enum.Enum):
    """The Go interface by which an opaque type makes its bytes."""

    GOB = "GobEncoderT"
    BINARY = "BinaryMarshalerT"
    TEXT = "TextMarshalerT"


@dataclass(frozen=True, slots=True)
class Opaque:
    """A type that marshals itself, such as time.Time or url.URL: bytes to this codec."""

    name: str
    marshaler: Marshaler = Marshaler.BINARY


Type: TypeAlias = "Basic | Struct | Slice | Array | Map | Opaque"
"""A type as a program describes it."""


@dataclass(frozen=True, slots=True)
class ReceivedStruct:
    """A struct described by a stream."""

    name: str
    fields: tuple[tuple[str, int], ...]
    """Name and type id of each, in the order of their numbers."""


@dataclass(frozen=True, slots=True)
class ReceivedSequence:
    """A slice or array described by a stream."""

    element: int
    length: int | None
    """Of an array; None for a slice."""


@dataclass(frozen=True, slots=True)
class ReceivedMap:
    """A map described by a stream."""

    key: int
    value: int


@dataclass(frozen=True, slots=True)
class ReceivedOpaque:
    """A type that marshals itself, described by a stream."""

    name: str
    marshaler: Marshaler


Received: TypeAlias = ReceivedStruct | ReceivedSequence | ReceivedMap | ReceivedOpaque
"""A type as a stream describes it."""

# Descriptions of descriptions, built into every gob implementation (Go: type.go, wireType).
_COMMON = Struct("CommonType", (("Name", Basic.STRING), ("Id", Basic.INT)))
_FIELDS = Slice(Struct("fieldType", (("Name", Basic.STRING), ("Id", Basic.INT))))
_OPAQUE = Struct("gobEncoderType", (("CommonType", _COMMON),))
WIRE_TYPE = Struct(
    "wireType",
    (
        (
            "ArrayT",
            Struct(
                "arrayType",
                (("CommonType", _COMMON), ("Elem", Basic.INT), ("Len", Basic.INT)),
            ),
        ),
        ("SliceT", Struct("sliceType", (("CommonType", _COMMON), ("Elem", Basic.INT)))),
        ("StructT", Struct("structType", (("CommonType", _COMMON), ("Field", _FIELDS)))),
        (
            "MapT",
            Struct("mapType", (("CommonType", _COMMON), ("Key", Basic.INT), ("Elem", Basic.INT))),
        ),
        *((marshaler.value, _OPAQUE) for marshaler in Marshaler),
    ),
)
"""How a type description itself is encoded."""


def received(wire_type: dict[str, Any]) -> Received:
    """The type that a decoded `wireType` value describes.

    Raises:
        GobError: it describes none, or an array of negative length.
    """
    if (array := wire_type.get("ArrayT")) is not None:
        if (length := array.get("Len", 0)) < 0:
            raise GobError(f"an array type of length {length}")
        return ReceivedSequence(array.get("Elem", 0), length)
    if (slice_ := wire_type.get("SliceT")) is not None:
        return ReceivedSequence(slice_.get("Elem", 0), None)
    if (struct := wire_type.get("StructT")) is not None:
        fields = tuple((one.get("Name", ""), one.get("Id", 0)) for one in struct.get("Field", ()))
        return ReceivedStruct(struct.get("CommonType", {}).get("Name", ""), fields)
    if (map_ := wire_type.get("MapT")) is not None:
        return ReceivedMap(map_.get("Key", 0), map_.get("Elem", 0))
    for marshaler in Marshaler:
        if (opaque := wire_type.get(marshaler.value)) is not None:
            return ReceivedOpaque(opaque.get("CommonType", {}).get("Name", ""), marshaler)
    raise GobError("a type description that describes nothing")
