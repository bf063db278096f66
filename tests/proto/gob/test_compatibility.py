"""Which values a program accepts for the type it expects: Go's rules."""

from __future__ import annotations

import pytest

from palomar_proto.gob import (
    Array,
    Basic,
    Encoder,
    GobError,
    Map,
    Marshaler,
    Opaque,
    Slice,
    Struct,
    Type,
    decode_value,
)
from palomar_proto.gob.encoder import message
from palomar_proto.gob.types import WIRE_TYPE
from palomar_proto.gob.wire import int_bytes, read_int, read_uint

POINT = Struct("Point", (("X", Basic.INT), ("Y", Basic.INT)))


def pair(sent: Type) -> bytes:
    encoder = Encoder(Struct("Pair", (("A", sent), ("B", Basic.INT))))
    return encoder.descriptions + encoder.encode({"B": 1})


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (Basic.INT, Basic.INT),
        (POINT, Struct("Other", (("Y", Basic.INT), ("Z", Basic.STRING)))),
        (Slice(POINT), Slice(POINT)),
        (Array(Basic.INT, 2), Array(Basic.INT, 2)),
        (Map(Basic.STRING, POINT), Map(Basic.STRING, POINT)),
        (Opaque("Time", Marshaler.GOB), Opaque("Moment", Marshaler.GOB)),
    ],
)
def test_like_goes_into_like(sent: Type, expected: Type) -> None:
    wanted = Struct("Pair", (("A", expected), ("B", Basic.INT)))
    assert decode_value(pair(sent), wanted) == {"B": 1}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (Basic.INT, Basic.UINT),
        (Basic.STRING, Basic.BYTES),
        (POINT, Basic.INT),
        (Basic.INT, POINT),
        (POINT, Struct("Point", (("X", Basic.STRING),))),
        (Slice(Basic.INT), Slice(Basic.STRING)),
        (Slice(Basic.INT), Array(Basic.INT, 2)),
        (Array(Basic.INT, 3), Array(Basic.INT, 2)),
        (Map(Basic.STRING, Basic.INT), Map(Basic.INT, Basic.INT)),
        (Slice(POINT), Map(Basic.STRING, POINT)),
        (Opaque("Time", Marshaler.GOB), Opaque("Time", Marshaler.BINARY)),
        (Basic.BYTES, Opaque("Time")),
    ],
)
def test_unlike_is_refused_even_when_it_was_not_sent(sent: Type, expected: Type) -> None:
    wanted = Struct("Pair", (("A", expected), ("B", Basic.INT)))
    with pytest.raises(GobError, match="type mismatch"):
        decode_value(pair(sent), wanted)


def test_struct_without_a_common_field_is_refused() -> None:
    with pytest.raises(GobError, match="no fields matched for Other"):
        decode_value(pair(Basic.INT), Struct("Other", (("C", Basic.INT),)))


def test_value_that_is_no_struct_is_refused_where_one_is_wanted() -> None:
    with pytest.raises(GobError, match="the value has type 2"):
        decode_value(b"\x03\x04\x00\x02", POINT)


def test_fields_named_again_and_again_cost_no_more_than_their_bytes() -> None:
    # Ten structs, each of which names the next one a hundred times.
    write = Encoder(WIRE_TYPE).encode
    gob, expected = b"", POINT
    for number in range(10):
        field = {"Name": "X", "Id": 65 + number if number < 9 else Basic.INT}
        struct = {"CommonType": {"Name": "S", "Id": 64 + number}, "Field": [field] * 100}
        _, at = read_uint(described := write({"StructT": struct}), 0)
        _, at = read_int(described, at)
        gob += message(int_bytes(-64 - number) + described[at:])
        expected = Struct("S", (("X", expected if number else Basic.INT),))
    assert decode_value(gob + message(int_bytes(64) + b"\x00"), expected) == {}
