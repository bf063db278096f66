"""Which received types Go's decoder would put into which types of a program.

Structs are matched by field names: extra fields and missing ones are fine, a struct without any
field in common is not. Everything else has to be the same kind. Rule: encoding/gob, "Types and
Values".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.gob.types import (
    Array,
    Basic,
    Map,
    Opaque,
    ReceivedMap,
    ReceivedOpaque,
    ReceivedSequence,
    ReceivedStruct,
    Slice,
    Struct,
)
from palomar_proto.gob.wire import GobError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palomar_proto.gob.types import Received, Type


def check_compatible(received: Mapping[int, Received], type_id: int, expected: Type) -> None:
    """Check that values of a received type can be taken for values of the expected one.

    Args:
        received: the types described so far, by id.
        type_id: the type of a value; may be a built-in one.
        expected: what the program wants.

    Raises:
        GobError: they cannot.
    """
    described = received.get(type_id)
    _check(received, type_id, expected, "the value", set())
    if isinstance(described, ReceivedStruct) and isinstance(expected, Struct) and described.fields:
        known = {name for name, _ in expected.fields}
        if not any(name in known for name, _ in described.fields):
            raise GobError(f"type mismatch: no fields matched for {expected.name}")


def _check(
    received: Mapping[int, Received],
    type_id: int,
    expected: Type,
    what: str,
    looked_at: set[tuple[int, int]],
) -> None:
    """Walks along the expected type, which is finite, not along the received one.

    Looks once at each pair of types, kept in `looked_at`: a received struct may name a field as
    often as it likes, and so may the structs in it.
    """
    pair = type_id, id(expected)
    if pair in looked_at:
        return
    looked_at.add(pair)
    described = received.get(type_id)
    if isinstance(expected, Basic):
        fits = type_id == expected
    elif isinstance(expected, Opaque):
        fits = isinstance(described, ReceivedOpaque) and described.marshaler is expected.marshaler
    else:
        parts = _parts(described, expected, what)
        for part_id, part, name in parts or ():
            _check(received, part_id, part, name, looked_at)
        fits = parts is not None
    if not fits:
        # Not more of it: a description may be as long as its sender likes.
        kind = "a built-in one" if described is None else type(described).__name__
        raise GobError(f"type mismatch: {what} has type {type_id}, {kind}")


def _parts(
    described: Received | None, expected: Struct | Slice | Array | Map, what: str
) -> list[tuple[int, Type, str]] | None:
    """What has to fit too, as received and as expected; None if the two are of different kinds."""
    if isinstance(expected, Struct) and isinstance(described, ReceivedStruct):
        wanted = dict(expected.fields)
        return [
            (type_id, wanted[name], f"{expected.name}.{name}")
            for name, type_id in described.fields
            if name in wanted
        ]
    if isinstance(expected, Map) and isinstance(described, ReceivedMap):
        return [
            (described.key, expected.key, f"a key of {what}"),
            (described.value, expected.value, f"an entry of {what}"),
        ]
    if isinstance(expected, Slice | Array) and isinstance(described, ReceivedSequence):
        length = expected.length if isinstance(expected, Array) else None
        if described.length == length:
            return [(described.element, expected.element, f"an element of {what}")]
    return None
