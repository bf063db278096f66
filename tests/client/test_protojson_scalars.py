import json
import struct

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToJson
from google.protobuf.wrappers_pb2 import FloatValue
from hypothesis import given
from hypothesis import strategies as st

from palomar.protojson_scalars import READERS, enum_reader, raw_value, varint
from palomar_proto.flow.flow_pb2 import Verdict

D = FieldDescriptor


@pytest.mark.parametrize(
    ("data", "number"),
    [(b"\x00", 0), (b"\x7f", 127), (b"\x80\x01", 128), (b"\xff\xff\x03", 65535)],
)
def test_varints(data: bytes, number: int) -> None:
    assert varint(b"." + data + b".", 1) == (number, 1 + len(data))


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [(0, b"\x05", 5), (2, b"\x02ab", b"ab"), (1, b"12345678", b"12345678"), (5, b"1234", b"1234")],
)
def test_raw_values(kind: int, data: bytes, value: int | bytes) -> None:
    assert raw_value(kind, data + b"rest", 0) == (value, len(data))


@pytest.mark.parametrize(
    ("kind", "raw", "text"),
    [
        (D.TYPE_INT32, 2**64 - 5, "-5"),
        (D.TYPE_INT64, 2**64 - 5, '"-5"'),
        (D.TYPE_UINT64, 2**64 - 1, '"18446744073709551615"'),
        (D.TYPE_SINT32, 1, "-1"),
        (D.TYPE_SINT64, 4, '"2"'),
        (D.TYPE_FIXED32, struct.pack("<I", 7), "7"),
        (D.TYPE_SFIXED64, struct.pack("<q", -7), '"-7"'),
        (D.TYPE_BOOL, 1, "true"),
        (D.TYPE_BYTES, b"\x01", '"AQ=="'),
        (D.TYPE_STRING, "é\x1b".encode(), '"\\u00e9\\u001b"'),
        (D.TYPE_DOUBLE, struct.pack("<d", float("-inf")), '"-Infinity"'),
        (D.TYPE_FLOAT, struct.pack("<f", float("nan")), '"NaN"'),
        (D.TYPE_FLOAT, struct.pack("<f", 0.1), "0.1"),
    ],
)
def test_readers(kind: int, raw: int | bytes, text: str) -> None:
    assert READERS[kind](raw) == text


@given(st.floats(width=32, allow_nan=False))
def test_single_precision_is_as_short_as_the_library_has_it(value: float) -> None:
    expected = json.loads(MessageToJson(FloatValue(value=value)))
    assert json.loads(READERS[D.TYPE_FLOAT](struct.pack("<f", value))) == expected


def test_enumerations_are_open() -> None:
    read = enum_reader(Verdict.DESCRIPTOR)
    assert [read(2), read(99), read(2**64 - 1)] == ['"DROPPED"', "99", "-1"]
