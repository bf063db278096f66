"""What two flow.FlowFilter messages select together.

A message is a conjunction of fields, each with alternatives; the server joins messages only by
"or". So "and" of two messages has to be worked out here, field by field, and can be where a field
has one value per flow, or where "both" can itself be written as a value. In: two messages. Out: one
that matches what both match. Used by the `&` of `Filter`.
"""

import ipaddress
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, cast

from google.protobuf.message import Message

from palomar.errors import InvalidRequest
from palomar_proto.flow.flow_pb2 import EventTypeFilter, FlowFilter, TCPFlags

Combine = Callable[[Any, Any], Any]

_ENDS = ("source_", "destination_")

# A flow has one of each, so it has to be among both lists.
_SINGLE = frozenset(
    {"uuid", "verdict", "drop_reason_desc", "traffic_direction", "reply", "encrypted",
     "ip_version", "trace_id", "ip_trace_id", "http_method"}
    | {end + name for end in _ENDS for name in ("port", "identity", "cluster_name")}
)  # fmt: skip


def conjunction(one: FlowFilter, other: FlowFilter) -> FlowFilter | None:
    """Make the message that matches what both match; `None` where nothing can.

    Raises:
        InvalidRequest: Both limit a field in ways that no one message can say.
    """
    both: Any = FlowFilter()
    both.CopyFrom(one)
    rest: Any = FlowFilter()
    rest.CopyFrom(other)
    shared = {field.name for field, _ in one.ListFields()} & {
        field.name for field, _ in other.ListFields()
    }
    for name in shared:
        rest.ClearField(name)
        if name == "experimental":
            both.experimental.cel_expression[:] = _combined(
                one.experimental.cel_expression, other.experimental.cel_expression, _joined_cel
            )
            continue
        values = _values(name, getattr(one, name), getattr(other, name))
        if not values:
            return None
        both.ClearField(name)
        getattr(both, name).extend(values)
    both.MergeFrom(rest)
    return cast("FlowFilter", both)


def _values(name: str, one: Iterable[Any], other: Iterable[Any]) -> list[Any]:
    ones, others = list(one), list(other)
    if ones == others:
        return ones
    if name in _SINGLE:
        same = _SAME.get(name, _itself)
        known = {same(value) for value in others}
        return [value for value in ones if same(value) in known]
    combine = _COMBINE.get(name)
    if combine is None:
        raise InvalidRequest(
            f"filters that both say {name} cannot be joined with &, which no server could "
            "evaluate; give both values to one Filter if either is enough"
        )
    return _combined(ones, others, combine)


def _combined(ones: Iterable[Any], others: Iterable[Any], combine: Combine) -> list[Any]:
    """Combine each with each, without doubles."""
    values: list[Any] = []
    for one, other in product(ones, others):
        value = combine(one, other)
        if value is not None and value not in values:
            values.append(value)
    return values


def _joined_cel(one: str, other: str) -> str:
    return one if one == other else f"({one}) && ({other})"


def _joined_selectors(one: str, other: str) -> str:
    """Requirements of a selector between commas must all hold; an empty one holds always."""
    return one if one == other or not other else f"{one},{other}" if one else other


def _narrower_name(one: str, other: str) -> str | None:
    """The pattern `[namespace/]prefix` that matches what both match."""
    space, prefix = _name_parts(one)
    other_space, other_prefix = _name_parts(other)
    if space and other_space and space != other_space:
        return None
    if not prefix.startswith(other_prefix) and not other_prefix.startswith(prefix):
        return None
    return f"{space or other_space}/{max(prefix, other_prefix, key=len)}"


def _name_parts(pattern: str) -> tuple[str, str]:
    space, slash, prefix = pattern.partition("/")
    return (space, prefix) if slash else ("default", pattern)


def _narrower_ip(one: str, other: str) -> str | None:
    try:
        network = ipaddress.ip_network(one, strict=False)
        other_network = ipaddress.ip_network(other, strict=False)
    except ValueError:
        return one if one == other else None
    if network.version != other_network.version or not network.overlaps(other_network):
        return None
    return one if network.prefixlen >= other_network.prefixlen else other


def _narrower_type(one: EventTypeFilter, other: EventTypeFilter) -> EventTypeFilter | None:
    if one.type and other.type and one.type != other.type:
        return None
    if one.match_sub_type and other.match_sub_type and one.sub_type != other.sub_type:
        return None
    subtyped = one if one.match_sub_type else other
    return EventTypeFilter(
        type=one.type or other.type,
        match_sub_type=subtyped.match_sub_type,
        sub_type=subtyped.sub_type if subtyped.match_sub_type else 0,
    )


def _all_flags(one: TCPFlags, other: TCPFlags) -> Message:
    both = TCPFlags()
    both.CopyFrom(one)
    both.MergeFrom(other)
    return both


def _itself(value: Any) -> Any:
    return value


def _port(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() else text


# What may be written in several ways, and how to make it one.
_SAME: dict[str, Callable[[Any], Any]] = {
    "http_method": str.upper,
    **{f"{end}port": _port for end in _ENDS},
}

_COMBINE: dict[str, Combine] = {
    **{end + name: _narrower_name for end in _ENDS for name in ("pod", "service")},
    **{f"{end}label": _joined_selectors for end in _ENDS},
    **{f"{end}ip": _narrower_ip for end in _ENDS},
    "source_ip_xlated": _narrower_ip,
    "node_labels": _joined_selectors,
    "tcp_flags": _all_flags,
    "event_type": _narrower_type,
}
