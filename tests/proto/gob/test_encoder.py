"""The encoder against bytes that Go made."""

from __future__ import annotations

import pytest

from palomar_proto.gob import Array, Basic, Encoder, GobError, Map, Slice, Struct, decode_value

POINT = Struct("Point", (("X", Basic.INT), ("Y", Basic.INT)))


def test_struct_is_the_example_of_gos_documentation() -> None:
    encoder = Encoder(POINT, first_id=65)
    assert (
        encoder.descriptions.hex() == "1fff8103010105506f696e7401ff82000102010158010400010159010400"
        "0000"
    )
    assert encoder.encode({"X": 22, "Y": 33}).hex() == "07ff82012c014200"


def test_zero_fields_are_left_out() -> None:
    assert Encoder(POINT).encode({"X": 0, "Y": 1}).hex() == "05ff80020200"
    assert Encoder(POINT).encode({}).hex() == "03ff8000"


def test_structs_and_arrays_are_sent_even_when_zero() -> None:
    line = Struct("Line", (("A", POINT), ("B", Array(Basic.INT, 2)), ("C", Slice(Basic.INT))))
    encoder = Encoder(line)
    data = encoder.descriptions + encoder.encode({"A": {}, "B": [0, 0], "C": []})
    assert decode_value(data) == {"A": {}, "B": [0, 0]}


def test_each_type_is_described_once() -> None:
    twice = Struct("Twice", (("A", POINT), ("B", Map(Basic.STRING, POINT))))
    assert Encoder(twice).descriptions.count(b"Point") == 1


def test_array_of_another_length_is_refused() -> None:
    with pytest.raises(GobError, match="array of 1 elements; its type says 2"):
        Encoder(Array(Basic.INT, 2)).encode([1])
