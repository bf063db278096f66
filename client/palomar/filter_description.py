"""Filters in words, for people: `pod shop/web* at either end and verdict DROPPED`.

In: the messages of a request, wherever they came from. Out: one line, printable whatever the
values are. Used by `str(Filter)` and to tell which filter is in force.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from palomar.event_types import AGENT_EVENTS, EVENT_TYPES, OBSERVATION_POINTS
from palomar_proto.flow.flow_pb2 import FlowFilter

_SOURCE, _DESTINATION = "source ", "destination "
_TYPE_NAMES = {str(number): name for name, number in EVENT_TYPES.items()}
_LABELS = {"drop_reason_desc": "drop reason", "experimental": "CEL", "http_status_code":
           "HTTP status", "source_ip_xlated": "translated source ip"}  # fmt: skip


def describe_filters(allow: Sequence[FlowFilter], deny: Sequence[FlowFilter]) -> str:
    """Say what passes.

    Args:
        allow: A flow must match one of these; none lets all pass.
        deny: A flow that matches one of these is left out.
    """
    if FlowFilter() in deny:
        return "no flow"
    passing = _alternatives(allow) if allow else "every flow"
    return f"{passing}; but not {_alternatives(deny)}" if deny else passing


def _alternatives(messages: Iterable[FlowFilter]) -> str:
    clauses: list[dict[str, str]] = []
    for message in messages:
        fields = _fields(message)
        if clauses and (either := _either_end(clauses[-1], fields)):
            clauses[-1] = either
        else:
            clauses.append(fields)
    texts = [_joined(clause) or "every flow" for clause in clauses]
    return texts[0] if len(texts) == 1 else " or ".join(f"({text})" for text in texts)


def _joined(clause: dict[str, str]) -> str:
    return " and ".join(f"{name} {text}" for name, text in clause.items())


def _fields(message: FlowFilter) -> dict[str, str]:
    members = MessageToDict(message, preserving_proto_field_name=True)
    if "experimental" in members:
        members["experimental"] = members["experimental"].get("cel_expression", [])
    return {
        _LABELS.get(name, name.replace("_", " ")): _values(name, values)
        for name, values in members.items()
    }


def _either_end(one: dict[str, str], other: dict[str, str]) -> dict[str, str] | None:
    """Put two messages into one clause that are the same but for the end they look at."""
    common = {name: text for name, text in one.items() if other.get(name) == text}
    at_source = {name: text for name, text in one.items() if name not in common}
    at_destination = {name: text for name, text in other.items() if name not in common}
    bare = {name.removeprefix(_SOURCE): text for name, text in at_source.items()}
    if not bare or bare != {
        name.removeprefix(_DESTINATION): text for name, text in at_destination.items()
    }:
        return None
    if not all(name.startswith(_SOURCE) for name in at_source):
        return None
    return {_joined(bare): "at either end"} | common


def _values(name: str, values: Sequence[Any]) -> str:
    texts = [_value(name, value) for value in values]
    return " or ".join(text if text.isprintable() and text else repr(text) for text in texts)


def _value(name: str, value: Any) -> str:
    if name.endswith(("_pod", "_service")):
        namespace, slash, prefix = str(value).partition("/")
        return f"{namespace or '*'}/{prefix}*" if slash else f"default/{value}*"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return _WRITERS.get(name, _interface)(value)
    return str(value)


def _workload(value: dict[str, Any]) -> str:
    return "/".join(filter(None, (value.get("kind", ""), value.get("name", "*"))))


def _http_header(value: dict[str, Any]) -> str:
    return f"{value.get('key', '')}:{value.get('value', '')}"


def _interface(value: dict[str, Any]) -> str:
    return str(value.get("name") or value.get("index") or "any")


def _event_type(value: dict[str, Any]) -> str:
    number = str(value.get("type", 0))
    name = _TYPE_NAMES.get(number, number)
    if not value.get("match_sub_type"):
        return name
    subtype = value.get("sub_type", 0)
    names = {"trace": OBSERVATION_POINTS, "agent": AGENT_EVENTS}.get(name, ())
    return f"{name}:{names[subtype] if 0 <= subtype < len(names) else subtype}"


_WRITERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "event_type": _event_type,
    "tcp_flags": "+".join,
    "http_header": _http_header,
    "source_workload": _workload,
    "destination_workload": _workload,
}
