"""protojson texts read into messages, fast where they are as Palomar and Hubble write them.

protobuf's own reader walks every message by reflection: 200 µs for a flow, which makes a minute of
a file with 300,000. Here the fields of a kind of message are looked up once, a text becomes the
arguments of its constructor, and protobuf's C code does the rest. Whatever is out of the ordinary
(rare types, odd spellings, anything wrong) is left to protobuf's reader, whose word is law.
"""

import json
import re
import reprlib
from collections.abc import Callable
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final, Generic, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

MessageT = TypeVar("MessageT", bound=Message)

_Convert = Callable[[Any], Any]

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,19})", re.ASCII)
_TIMESTAMP = "google.protobuf.Timestamp"
_WRAPPER = re.compile(r"google\.protobuf\.(Bool|String|U?Int(32|64))Value")

_UNKNOWN_FIELD = re.compile(r'has no field named "(.*?)" at "', re.DOTALL)


class UnreadableError(ValueError):
    """A text is no such message; the words say why, as the end of a sentence."""


class JsonReader(Generic[MessageT]):
    """Reads messages of one kind.

    Args:
        kind: The message's class.
    """

    def __init__(self, kind: type[MessageT]) -> None:
        self._kind = kind
        self._discards_unknown = False

    def read(self, text: bytes) -> MessageT:
        """Read one message.

        Raises:
            UnreadableError: It is none, or has fields and values that are not known here, which
                `discard_unknown` makes this ignore.
        """
        try:
            arguments = _arguments(
                _fields(self._kind.DESCRIPTOR),
                json.loads(text, object_pairs_hook=_without_duplicates),
            )
            return self._kind(**arguments)
        except (_OutOfTheOrdinaryError, ValueError, TypeError, RecursionError):
            return self._read_by_reflection(text)

    def discard_unknown(self) -> None:
        """From now on, read messages without the fields and values that are not known here."""
        self._discards_unknown = True

    def _read_by_reflection(self, text: bytes) -> MessageT:
        if not text.lstrip().startswith(b"{"):
            raise UnreadableError("is no JSON object")
        message = self._kind()
        try:
            json_format.Parse(text, message, ignore_unknown_fields=self._discards_unknown)
        except (json_format.Error, ValueError, TypeError, RecursionError) as error:
            raise UnreadableError(_reason(error)) from None
        return message


class _OutOfTheOrdinaryError(Exception):
    """A text that the fast way does not take."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _OutOfTheOrdinaryError
    return found


def _arguments(fields: dict[str, tuple[str, str, _Convert]], value: object) -> dict[str, Any]:
    """A constructor's arguments for a message, from the object that stands for it."""
    if type(value) is not dict:
        raise _OutOfTheOrdinaryError
    arguments: dict[str, Any] = {}
    choices = set()
    for key, item in value.items():
        if key not in fields:
            raise _OutOfTheOrdinaryError
        name, choice, convert = fields[key]
        if name in arguments or choice in choices:
            raise _OutOfTheOrdinaryError
        if choice:
            choices.add(choice)
        if item is not None:
            arguments[name] = convert(item)
    return arguments


@cache
def _fields(message: Descriptor) -> dict[str, tuple[str, str, _Convert]]:
    """Field name, name of its oneof, and converter, by what the field is called in JSON."""
    fields = {}
    for field in message.fields:
        convert = _converter(field)
        if field.is_repeated:
            convert = _repeated(convert)
        choice = field.containing_oneof
        entry = (field.name, choice.name if choice else "", convert)
        fields[field.name] = fields[field.json_name] = entry
    return fields


def _converter(field: FieldDescriptor) -> _Convert:
    if field.message_type is not None:
        return _message_converter(field.message_type)
    if field.enum_type is not None:
        return _enum_converter({value.name: value.number for value in field.enum_type.values})
    return _SCALARS.get(field.type, _refuse)


def _message_converter(message: Descriptor) -> _Convert:
    if message.full_name == _TIMESTAMP:
        return _timestamp
    if _WRAPPER.fullmatch(message.full_name):
        convert = _converter(message.fields_by_name["value"])
        return lambda value: {"value": convert(value)}
    if message.GetOptions().map_entry or message.full_name.startswith("google.protobuf."):
        return _refuse
    # Looked up when first needed: messages contain each other.
    return lambda value: _arguments(_fields(message), value)


def _repeated(convert: _Convert) -> _Convert:
    def convert_all(values: object) -> list[Any]:
        if type(values) is not list or None in values:
            raise _OutOfTheOrdinaryError
        return [convert(value) for value in values]

    return convert_all


def _enum_converter(numbers: dict[str, int]) -> _Convert:
    def convert(value: object) -> int:
        if type(value) is str and value in numbers:
            return numbers[value]
        raise _OutOfTheOrdinaryError

    return convert


def _exactly(kind: type) -> _Convert:
    def convert(value: object) -> object:
        if type(value) is not kind:
            raise _OutOfTheOrdinaryError
        return value

    return convert


def _refuse(_value: object) -> object:
    raise _OutOfTheOrdinaryError


def _wide_integer(value: object) -> int:
    """64 bits are written as texts, since a JavaScript number has only 53."""
    if type(value) is str and _WHOLE_NUMBER.fullmatch(value):
        return int(value)
    raise _OutOfTheOrdinaryError


def _timestamp(value: object) -> dict[str, int]:
    found = _TIME.fullmatch(value) if type(value) is str else None
    if found is None:
        raise _OutOfTheOrdinaryError
    return {"seconds": _unix_s(found[1]), "nanos": int((found[2] or "").ljust(9, "0"))}


@lru_cache(maxsize=64)
def _unix_s(text: str) -> int:
    """Kept, since flows beside each other are of the same second."""
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp())


_SCALARS: Final[dict[int, _Convert]] = {
    FieldDescriptor.TYPE_BOOL: _exactly(bool),
    FieldDescriptor.TYPE_STRING: _exactly(str),
    FieldDescriptor.TYPE_INT32: _exactly(int),
    FieldDescriptor.TYPE_UINT32: _exactly(int),
    FieldDescriptor.TYPE_INT64: _wide_integer,
    FieldDescriptor.TYPE_UINT64: _wide_integer,
}


def _reason(error: Exception) -> str:
    """Why protobuf's reader refused a text, in a few words: its own list every field there is."""
    unknown = _UNKNOWN_FIELD.search(str(error))
    if unknown:
        return f"has an unknown field {reprlib.repr(unknown[1])}"
    text = " ".join(str(error).split())[:160]
    printable = "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )
    return f"is not valid: {printable}"
