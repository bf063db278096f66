"""Messages as JSON text after the protojson mapping, fast enough for a flow stream.

In: any message. Out: one line of JSON with the field names of the .proto files, defaults left out,
64-bit integers as strings, enum values as names or, where the number has none, as numbers. Parsed,
that equals what `json_format.MessageToDict(…, preserving_proto_field_name=True)` yields; that
function takes some 80 µs for a flow, which is why this module exists. An encoder is made once per
message type; parts that repeat from flow to flow (endpoints, interfaces) are encoded once. The
text is ASCII with everything else escaped, so a terminal can show it as it is.

Used by the jsonpb printer, `palomar status -o json` and `--print-raw-filters`.
"""

from base64 import b64encode
from collections.abc import Callable
from json import dumps
from json.encoder import encode_basestring_ascii
from math import isfinite, isnan
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from palomar.printers.time_format import rfc3339_formatter

Encoder = Callable[[Any], str]

_REMEMBERED_MAX = 4096
"""Encoded parts kept per message type, after which they are forgotten: about 2 MiB of endpoints."""

# Small sets of these repeat through a stream; a connection's own addresses and ports do not.
_REPEATING = frozenset(
    {
        "flow.CiliumEventType",
        "flow.Emitter",
        "flow.Endpoint",
        "flow.Ethernet",
        "flow.FileInfo",
        "flow.NetworkInterface",
        "flow.Policy",
        "flow.Service",
        "flow.TCPFlags",
    }
)

_WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)

_encoders: dict[str, Encoder] = {}


def to_json(message: Message) -> str:
    """Encode a message as one line of JSON, without a line end."""
    return _encoder(cast("Descriptor", message.DESCRIPTOR))(message)


def _encoder(descriptor: Descriptor) -> Encoder:
    name = descriptor.full_name
    if name not in _encoders:
        if name == "google.protobuf.Timestamp":
            _encoders[name] = _timestamp_encoder()
        elif name in _WRAPPERS:
            _encoders[name] = _wrapper_encoder(descriptor)
        elif name == "google.protobuf.Any":
            _encoders[name] = _any
        elif descriptor.file.package == "google.protobuf":
            _encoders[name] = _by_library
        else:
            _encoders[name] = _message_encoder(descriptor)
    return _encoders[name]


def _message_encoder(descriptor: Descriptor) -> Encoder:
    members: dict[FieldDescriptor, Encoder] = {}

    def encode(message: Message) -> str:
        return (
            "{" + ",".join([members[field](value) for field, value in message.ListFields()]) + "}"
        )

    encoder = _remembering(encode) if descriptor.full_name in _REPEATING else encode
    _encoders[descriptor.full_name] = encoder  # before its fields, so that a type may hold itself
    for field in descriptor.fields:
        members[field] = _member_encoder(field)
    return encoder


def _remembering(encode: Encoder) -> Encoder:
    texts: dict[bytes, str] = {}

    def look_up(message: Message) -> str:
        key = message.SerializeToString()
        text = texts.get(key)
        if text is None:
            if len(texts) >= _REMEMBERED_MAX:
                texts.clear()
            text = texts[key] = encode(message)
        return text

    return look_up


def _member_encoder(field: FieldDescriptor) -> Encoder:
    """Encode `"name":value` of a field."""
    key = f'"{field.name}":'
    value = _value_encoder(field)
    if field.is_repeated:
        return lambda items: f"{key}[{','.join([value(item) for item in items])}]"
    return lambda item: key + value(item)


def _value_encoder(field: FieldDescriptor) -> Encoder:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _encoder(cast("Descriptor", field.message_type))
    if field.type == FieldDescriptor.TYPE_ENUM:
        return _enum_encoder(cast("EnumDescriptor", field.enum_type))
    return _SCALARS.get(field.type, str)


def _enum_encoder(enum: EnumDescriptor) -> Encoder:
    names = {value.number: f'"{value.name}"' for value in reversed(enum.values)}
    return lambda number: names.get(number) or str(number)


def _boolean(value: object) -> str:
    return "true" if value else "false"


def _wide_integer(value: int) -> str:
    return f'"{value}"'  # as text, since programs that take numbers for floats would round it


def _bytes(value: bytes) -> str:
    return f'"{b64encode(value).decode()}"'


def _floating(value: float) -> str:
    if isfinite(value):
        return repr(value)
    return '"NaN"' if isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


_SCALARS: dict[int, Encoder] = {
    FieldDescriptor.TYPE_STRING: encode_basestring_ascii,
    FieldDescriptor.TYPE_BOOL: _boolean,
    FieldDescriptor.TYPE_INT64: _wide_integer,
    FieldDescriptor.TYPE_UINT64: _wide_integer,
    FieldDescriptor.TYPE_SINT64: _wide_integer,
    FieldDescriptor.TYPE_FIXED64: _wide_integer,
    FieldDescriptor.TYPE_SFIXED64: _wide_integer,
    FieldDescriptor.TYPE_BYTES: _bytes,
    FieldDescriptor.TYPE_DOUBLE: _floating,
    FieldDescriptor.TYPE_FLOAT: _floating,
}
"""Encoders by type of field; the other types are 32-bit integers, written as they are."""


def _timestamp_encoder() -> Encoder:
    format_time = rfc3339_formatter()
    return lambda stamp: f'"{format_time(stamp.seconds, stamp.nanos)}"'


def _wrapper_encoder(descriptor: Descriptor) -> Encoder:
    value = _value_encoder(descriptor.fields_by_name["value"])
    return lambda wrapper: value(wrapper.value)


def _by_library(message: Message) -> str:
    """Encode the rare well-known types, such as FieldMask."""
    return dumps(MessageToDict(message, preserving_proto_field_name=True))


def _any(message: Any) -> str:
    """Encode an Any: by the library where the type is known, else its type and raw bytes."""
    try:
        return _by_library(message)
    except TypeError:
        value = b64encode(message.value).decode()
        return dumps({"@type": message.type_url, "value": value})
