"""What protobuf's reader for JSON takes in Python, and the one in Go does not.

In: values as json.loads makes them, and the kind of message they stand for. Out: nothing, or an
error. Scripts made for `hubble` may count on a wrong filter being refused; used where the dialect
is that of `hubble`, before the text goes to protobuf's reader, which judges everything else.
"""

import re

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)


def refuse_loose(value: object, message: Descriptor) -> None:
    """Refuse what only Python's reader understands.

    Args:
        value: Stands for a message of this kind; null for none.
        message: The kind.

    Raises:
        ValueError: An enum value is a text with its number, or no whole number; a field is there by
            both its names; a number is written as JSON does not; an array stands for a message.
    """
    if not isinstance(value, dict):
        if value is not None:
            raise ValueError(f"unexpected token {value!r}")
        return
    names = {name: field for field in message.fields for name in (field.name, field.json_name)}
    seen = set()
    for key, item in value.items():
        field = names.get(key)
        if field is None:
            continue  # refused by protobuf's reader, too
        if field.name in seen:
            raise ValueError(f"duplicate field {key!r}")
        seen.add(field.name)
        repeated = isinstance(item, list) and field.is_repeated
        for one in item if repeated else [item]:
            _refuse_loose_value(one, field)


def _refuse_loose_value(value: object, field: FieldDescriptor) -> None:
    if value is None:
        return
    if field.message_type is not None:
        refuse_loose(value, field.message_type)
    elif field.enum_type is not None:
        _refuse_loose_enum(value, field.enum_type)
    elif field.cpp_type not in {FieldDescriptor.CPPTYPE_BOOL, FieldDescriptor.CPPTYPE_STRING} and (
        isinstance(value, bool) or (isinstance(value, str) and not _NUMBER.fullmatch(value))
    ):
        raise ValueError(f"invalid value for {field.name}: {value!r}")


def _refuse_loose_enum(value: object, enum: EnumDescriptor) -> None:
    named = isinstance(value, str) and value in enum.values_by_name
    whole = type(value) is int or (isinstance(value, float) and value.is_integer())
    if not (named or whole):
        raise ValueError(f"invalid value for enum {enum.name}: {value!r}")
