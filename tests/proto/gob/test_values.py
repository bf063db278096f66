"""Values of every type: what Go sends comes out, what nobody should send is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.gob import (
    Array,
    Basic,
    Concrete,
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
from palomar_proto.gob.values import DESCRIPTION_BYTES_MAX, Types
from palomar_proto.gob.wire import int_bytes, uint_bytes

BASIC_VALUES: dict[Basic, st.SearchStrategy[Any]] = {
    Basic.BOOL: st.booleans(),
    Basic.INT: st.integers(-(2**63), 2**63 - 1),
    Basic.UINT: st.integers(0, 2**64 - 1),
    Basic.FLOAT: st.floats(allow_nan=False),
    Basic.BYTES: st.binary(max_size=300),
    Basic.STRING: st.text(max_size=40),
    Basic.COMPLEX: st.complex_numbers(allow_nan=False),
}


def values_of(described: Type) -> st.SearchStrategy[Any]:
    match described:
        case Basic():
            return BASIC_VALUES[described]
        case Struct():
            return st.fixed_dictionaries({name: values_of(one) for name, one in described.fields})
        case Map():
            return st.dictionaries(values_of(described.key), values_of(described.value), max_size=4)
        case Slice():
            return st.lists(values_of(described.element), max_size=4)
        case Array():
            size = described.length
            return st.lists(values_of(described.element), min_size=size, max_size=size)
        case Opaque():
            return st.binary(max_size=20)


def types() -> st.SearchStrategy[Type]:
    names = st.sampled_from("ABCDE")
    return st.recursive(
        st.sampled_from(Basic) | st.builds(Opaque, names, st.sampled_from(Marshaler)),
        lambda inner: (
            st.builds(Slice, inner, names)
            | st.builds(Array, inner, st.integers(0, 3), names)
            | st.builds(Map, st.sampled_from((Basic.STRING, Basic.INT)), inner, names)
            | st.lists(inner, max_size=4).map(
                lambda parts: Struct("S", tuple((f"F{i}", one) for i, one in enumerate(parts)))
            )
        ),
        max_leaves=8,
    )


def sent(described: Type, value: Any) -> Any:
    """What comes out of a value that went in: zero fields are gone."""
    match described:
        case Struct():
            return {
                name: sent(one, value[name])
                for name, one in described.fields
                if value[name] or isinstance(one, Struct | Array)
            }
        case Map():
            return {key: sent(described.value, one) for key, one in value.items()}
        case Slice() | Array():
            return [sent(described.element, one) for one in value]
    return value


@given(st.data())
def test_values_of_any_type_come_back(data: st.DataObject) -> None:
    described = data.draw(types())
    value = data.draw(values_of(described))
    encoder = Encoder(described)
    gob = encoder.descriptions + encoder.encode(value)
    assert decode_value(gob) == sent(described, value)
    assert decode_value(gob, described) == sent(described, value)


@given(st.data())
def test_damaged_gob_is_an_error_or_another_value(data: st.DataObject) -> None:
    described = data.draw(types())
    encoder = Encoder(described)
    gob = bytearray(encoder.descriptions + encoder.encode(data.draw(values_of(described))))
    for _ in range(data.draw(st.integers(1, 4))):
        gob[data.draw(st.integers(0, len(gob) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_value(bytes(gob))
    except GobError:
        return


@given(st.binary(max_size=200))
def test_random_bytes_are_an_error_or_a_value(data: bytes) -> None:
    try:
        decode_value(data)
    except GobError:
        return


def test_signs_of_zero_and_nan_survive_in_a_slice() -> None:
    encoder = Encoder(Slice(Basic.FLOAT))
    nan, zero = decode_value(encoder.descriptions + encoder.encode([math.nan, -0.0]))
    assert math.isnan(nan)
    assert math.copysign(1, zero) == -1


def test_text_that_is_not_utf_8_is_marked() -> None:
    assert decode_value(message(int_bytes(6) + b"\x00\x02a\xff")) == "a�"


def test_struct_may_end_with_its_message() -> None:
    encoder = Encoder(Struct("S", (("A", Basic.INT),)))
    body = encoder.encode({"A": 1})[1:-1]
    assert decode_value(encoder.descriptions + message(body)) == {"A": 1}


def test_zero_of_several_bytes_ends_a_struct_too() -> None:
    encoder = Encoder(Struct("S", (("A", Basic.INT),)))
    body = encoder.encode({"A": 1})[1:-1]
    assert decode_value(encoder.descriptions + message(body + b"\xfe\x00\x00")) == {"A": 1}


def test_field_beyond_the_last_is_refused() -> None:
    encoder = Encoder(Struct("S", (("A", Basic.INT),)))
    with pytest.raises(GobError, match="field 1 of a struct of 1 fields"):
        decode_value(encoder.descriptions + message(int_bytes(64) + b"\x02\x02\x00"))


def test_type_without_description_is_refused() -> None:
    with pytest.raises(GobError, match="type 70 is not described"):
        decode_value(message(int_bytes(70) + b"\x00"))


def test_more_elements_than_bytes_are_refused() -> None:
    encoder = Encoder(Slice(Basic.UINT))
    with pytest.raises(GobError, match="elements announced"):
        decode_value(encoder.descriptions + message(int_bytes(64) + b"\x00" + uint_bytes(2**60)))


def slice_type(number: int, element: int) -> bytes:
    """The description of a slice, whatever its element."""
    head = int_bytes(-number) + b"\x02\x01\x02" + int_bytes(number) + b"\x00\x01"
    return message(head + int_bytes(element) + b"\x00\x00")


def test_type_of_itself_is_read_as_deep_as_allowed() -> None:
    nested = slice_type(64, 64) + message(int_bytes(64) + b"\x00" + b"\x01" * 5 + b"\x00")
    assert decode_value(nested) == [[[[[[]]]]]]
    deep = slice_type(64, 64) + message(int_bytes(64) + b"\x00" + b"\x01" * 5000 + b"\x00")
    with pytest.raises(GobError, match="nested more than"):
        decode_value(deep)


def test_chain_of_types_is_followed_as_deep_as_allowed() -> None:
    chain = b"".join(slice_type(number, number + 1) for number in range(64, 1064))
    with pytest.raises(GobError, match="nested more than"):
        decode_value(chain + message(int_bytes(64) + b"\x00\x00"))


def test_interface_carries_name_type_and_value() -> None:
    holder = int_bytes(-64) + b"\x02\x01\x02" + int_bytes(64) + b"\x00\x01\x10\x00\x00"
    elements = b"\x00\x02" + b"\x03int\x04\x02\x00\x0a" + b"\x00"
    value = decode_value(message(holder) + message(int_bytes(64) + elements))
    assert value == [Concrete("int", 5), None]


def test_key_that_python_cannot_hash_is_kept_as_text() -> None:
    point = Struct("Point", (("X", Basic.INT),))
    encoder = Encoder(Map(point, Basic.INT))
    # The head of the message, without its length and the number of entries.
    head = encoder.encode({})[1:-1]
    body = head + b"\x01" + b"\x01\x02\x00" + b"\x04"
    assert decode_value(encoder.descriptions + message(body)) == {"{'X': 1}": 2}


def test_descriptions_are_bounded() -> None:
    known = Types()
    name = b"x" * 60_000
    body = b"\x02\x01\x01" + uint_bytes(len(name)) + name + b"\x00\x01\x04\x00\x00"
    for number in range(64, 68):
        known.define(number, body, 0)
    with pytest.raises(GobError, match=f"more than {DESCRIPTION_BYTES_MAX} bytes"):
        known.define(68, body, 0)
