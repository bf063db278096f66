"""Messages as JSON after the protojson mapping, fast enough for a flow stream.

In: any message. Out: one line of JSON, or the dict it stands for, with the field names of the
.proto files, defaults left out, 64-bit integers as strings, enum values as names or, where the
number has none, as numbers. Parsed, the line equals what
`json_format.MessageToDict(…, preserving_proto_field_name=True)` yields; that function takes some
80 µs for a flow, which is why this module exists. The text is ASCII with everything else escaped,
so a terminal can show it as it is.

How: the message is serialized, in C, and its bytes are encoded by `palomar.protojson_message`. All
of it may be called from several threads.

Used by the jsonpb printer, the commands that offer `-o json`, and `palomar.to_json`.
"""

import re
from base64 import b64encode
from json import dumps, loads
from threading import RLock
from typing import Any, cast

from google.protobuf import any_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from palomar.printers.time_format import UNKNOWN_TIME, rfc3339_formatter
from palomar.protojson_message import Encoder, FieldTexts, message_encoder
from palomar.protojson_scalars import (
    FIXED_BYTES,
    READERS,
    WIRE_KINDS,
    Reader,
    enum_reader,
    raw_value,
)

_UNDERSCORE = re.compile("_([a-z0-9])")
_WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)

_encoders: dict[str, Encoder] = {}
"""By message type; only finished ones."""
_unfinished: dict[str, Encoder] = {}
_making = RLock()


def to_json(message: Message) -> str:
    """Encode a message as one line of JSON, without a line end.

    Fields this library does not know are left out. An `Any` whose type it does not know keeps
    its type and its bytes in base64.
    """
    descriptor = cast("Descriptor", message.DESCRIPTOR)
    encode = _encoders.get(descriptor.full_name) or _make_encoder(descriptor)
    return encode(message.SerializeToString())


def to_dict(message: Message) -> dict[str, Any]:
    """Turn a message into what `json.loads` makes of its JSON: see `to_json`.

    Raises:
        TypeError: The message is one whose JSON is no object, such as a Timestamp.
    """
    shown = loads(to_json(message))
    if not isinstance(shown, dict):
        kind = message.DESCRIPTOR.full_name
        raise TypeError(f"{kind} is a plain value in JSON, not a dict; use to_json")
    return shown


def _make_encoder(descriptor: Descriptor) -> Encoder:
    """Make the encoders of a type and of the types in it."""
    with _making:
        encode = _encoder(descriptor)
        _encoders.update(_unfinished)
        return encode


def _encoder(descriptor: Descriptor) -> Encoder:
    name = descriptor.full_name
    if name not in _unfinished:
        if name == "google.protobuf.Timestamp":
            _unfinished[name] = _timestamp_encoder()
        elif name == "google.protobuf.FieldMask":
            _unfinished[name] = _field_mask
        elif name in _WRAPPERS:
            _unfinished[name] = _wrapper_encoder(descriptor)
        elif name == "google.protobuf.Any":
            _unfinished[name] = _any
        elif descriptor.file.package == "google.protobuf" or _is_irregular(descriptor):
            _unfinished[name] = _library_encoder(descriptor)
        else:
            fields = FieldTexts(name)
            # Before its fields, so that a type may hold itself.
            _unfinished[name] = message_encoder(fields)
            for field in descriptor.fields:
                fields.add(field, _value_reader(field))
    return _unfinished[name]


def _is_irregular(descriptor: Descriptor) -> bool:
    """Tell types whose wire format holds more than plain fields: maps and groups."""
    return descriptor.is_extendable or any(
        field.type == FieldDescriptor.TYPE_GROUP
        or (field.message_type is not None and field.message_type.GetOptions().map_entry)
        for field in descriptor.fields
    )


def _value_reader(field: FieldDescriptor) -> Reader:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return _encoder(cast("Descriptor", field.message_type))
    if field.type == FieldDescriptor.TYPE_ENUM:
        return enum_reader(cast("EnumDescriptor", field.enum_type))
    return READERS[field.type]


def _timestamp_encoder() -> Encoder:
    format_time = rfc3339_formatter()
    last = b"", '"1970-01-01T00:00:00Z"'

    def encode(data: bytes) -> str:
        nonlocal last
        last_data, text = last
        if data != last_data:  # a response has the time of its flow
            stamp = Timestamp.FromString(data)
            text = f'"{format_time(stamp.seconds, stamp.nanos)}"'
            last = data, text
        return text

    return encode


def _wrapper_encoder(descriptor: Descriptor) -> Encoder:
    field = descriptor.fields_by_name["value"]
    read = _value_reader(field)
    kind = WIRE_KINDS.get(field.type, 0)
    default = bytes(FIXED_BYTES.get(kind, 0)) if kind else 0
    tag_bytes = 1
    return lambda data: read(raw_value(kind, data, tag_bytes)[0] if data else default)


def _library_encoder(descriptor: Descriptor) -> Encoder:
    """Leave the rare types with a mapping of their own to the library."""
    from google.protobuf.json_format import Error, MessageToDict  # noqa: PLC0415 - slow to import

    message_class = GetMessageClass(descriptor)

    def encode(data: bytes) -> str:
        message = message_class.FromString(data)
        try:
            return dumps(MessageToDict(message, preserving_proto_field_name=True))
        except (Error, ValueError):  # a Duration out of its range, which no server should send
            return dumps(UNKNOWN_TIME)

    return encode


def _field_mask(data: bytes) -> str:
    """Encode a mask in camel case; a path that this cannot write, such as `IP`, stays as it is."""
    return dumps(",".join(map(_camel_case, FieldMask.FromString(data).paths)))


def _camel_case(path: str) -> str:
    if path != path.lower():
        return path
    return _UNDERSCORE.sub(lambda found: found[1].upper(), path)


def _any(data: bytes) -> str:
    """Encode an Any: by the library where it can, else its type and raw bytes.

    It cannot where the type is not known, or where what is in it has no JSON, such as a time
    outside the years 1 to 9999.
    """
    from google.protobuf.json_format import Error, MessageToDict  # noqa: PLC0415 - slow to import

    message = any_pb2.Any.FromString(data)
    try:
        return dumps(MessageToDict(message, preserving_proto_field_name=True))
    except (TypeError, ValueError, DecodeError, Error):
        value = b64encode(message.value).decode()
        return dumps({"@type": message.type_url, "value": value})
