"""The filters of a request as YAML, for `--print-raw-filters`.

In: a request. Out: what `--config` of `palomar observe` takes as a saved view: the lists by name,
each filter in them a string of JSON. The text is that of `hubble` to the byte: fields in the order
they are declared, `<`, `>` and `&` escaped, strings in single quotes unless YAML calls a character
of theirs unprintable.
"""

import json
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import MessageToDict

from palomar_proto.flow.flow_pb2 import FlowFilter
from palomar_proto.observer.observer_pb2 import GetFlowsRequest

# What a browser or a script could trip over; Go's JSON writes it out.
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}

_DOUBLE_QUOTED = {
    '"': '\\"', "\\": "\\\\", "\x7f": "\\x7F", "\x85": "\\N", "\ufeff": "\\uFEFF",
}  # fmt: skip
_BYTE_MAX = 0xFF
_TWO_BYTES_MAX = 0xFFFF


def raw_filters(request: GetFlowsRequest) -> str:
    """Write the lists of a request; `{}` where both are empty."""
    lists = {"allowlist": request.whitelist, "denylist": request.blacklist}
    lines = []
    for name, filters in lists.items():
        if filters:
            lines.append(f"{name}:\n")
            lines += [f"    - {_yaml_string(filter_json(item))}\n" for item in filters]
    return "".join(lines) or "{}\n"


def filter_json(message: FlowFilter) -> str:
    """Write one filter as one line of JSON."""
    members = MessageToDict(message, preserving_proto_field_name=True)
    ordered = _ordered(members, message.DESCRIPTOR)
    text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPED)


def _ordered(members: dict[str, Any], descriptor: Descriptor) -> dict[str, Any]:
    """Put members in the order the fields are declared, inside messages too."""
    ordered = {}
    for field in descriptor.fields:
        if field.name not in members:
            continue
        value = members[field.name]
        inner = field.message_type
        if inner is not None:
            value = (
                [_ordered(one, inner) for one in value]
                if isinstance(value, list)
                else _ordered(value, inner)
            )
        ordered[field.name] = value
    return ordered


def _yaml_string(text: str) -> str:
    if all(map(_is_printable, text)):
        return "'" + text.replace("'", "''") + "'"
    return '"' + "".join(c if _is_plain(c) else _escape(c) for c in text) + '"'


def _is_printable(character: str) -> bool:
    """Whether YAML 1.1 as Go's library has it calls a character printable."""
    code = ord(character)
    return (
        0x20 <= code <= 0x7E  # noqa: PLR2004 - ranges of the YAML specification
        or 0xA0 <= code <= 0xD7FF  # noqa: PLR2004
        or (0xE000 <= code <= 0xFFFD and code != 0xFEFF)  # noqa: PLR2004
    )


def _is_plain(character: str) -> bool:
    return _is_printable(character) and character not in _DOUBLE_QUOTED


def _escape(character: str) -> str:
    code = ord(character)
    if character in _DOUBLE_QUOTED:
        return _DOUBLE_QUOTED[character]
    if code <= _BYTE_MAX:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= _TWO_BYTES_MAX else f"\\U{code:08X}"
