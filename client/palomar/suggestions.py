"""Why a filter may have matched nothing: values that no flow of the server has, and likely ones.

In: the request that found nothing, and a client to ask palomard's FilterHints with. Out: a line for
each value that cannot match: "no pod matches web-x; did you mean shop/web-1?". Only filters by
plain values are looked at, since of patterns nobody can tell what was meant. Used by `flow_run`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from palomar.errors import PalomarError
from palomar.printers.drop_reasons import drop_reason_name
from palomar.printers.escape import visible
from palomar.quantities import time_text
from palomar_proto.flow.flow_pb2 import FlowFilter, TrafficDirection, Verdict
from palomar_proto.observer.observer_pb2 import GetFlowsRequest

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor

    from palomar.client import Client
    from palomar_proto.palomar.v1.flow_scope_pb2 import Coverage
    from palomar_proto.palomar.v1.hints_pb2 import FilterHintsResponse

_LOOKUPS_MAX = 6
"""Values that are asked about: more make no text that anybody reads."""

_HINTS_MAX = 200
"""Values that one answer may have; where there are more, nothing is said for certain."""

_EPHEMERAL_PORTS = 32_768
"""Where the ports begin that Linux gives to clients (net.ipv4.ip_local_port_range)."""
_SHOWN_MAX = 5
_SIDES = ("source", "destination")
_APPLICATIONS = frozenset({"dns", "http", "kafka"})
"""Protocols of filters that hints do not list, which have those below them."""

_PLAIN_LABEL = re.compile(r"[\w./:-]+=[\w.-]+")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One value that a filter asks for.

    Attributes:
        field: Its field, as `Client.hints` names it.
        text: The value as a user would write it.
        search: What to look for; empty where a field has so few values that all can be told.
        matches: Tells whether a value that flows have is one that the filter lets pass.
    """

    field: str
    text: str
    search: str
    matches: Callable[[str], bool]

    @property
    def name(self) -> str:
        """Its field, in words."""
        return self.field.replace("-", " ")


def suggestions(client: "Client", request: GetFlowsRequest) -> list[str]:
    """Say which values of the filters no flow has that the server holds.

    Args:
        client: Whom to ask. A server that knows no hints makes for no suggestions, not for an
            error: the flows, or that there are none, were the answer, and this is a courtesy.
        request: What found nothing.
    """
    lines: list[str] = []
    seen: list[str] = []
    coverage = None
    timed = request.HasField("since") or request.HasField("until")
    try:
        if not (request.whitelist or request.blacklist):
            return _of_time(client.hints("verdict", limit=1).coverage, timed=timed)
        for wanted, ends in _gathered(request.whitelist)[:_LOOKUPS_MAX]:
            answer = client.hints(wanted.field, wanted.search, limit=_HINTS_MAX)
            lines += _judged(wanted, ends, answer)
            if any(wanted.matches(hint.value) for hint in answer.hints):
                seen.append(f"flows with {wanted.name} {visible(wanted.text)}")
            coverage = answer.coverage
    except PalomarError:
        return []
    if not lines and seen and coverage is not None and coverage.HasField("oldest"):
        # What else was asked, such as patterns and times, was not looked at: nothing about it here.
        lines.append(
            f"there are {' and '.join(seen)} since {time_text(coverage.oldest)}, but none "
            f"{'of the time asked for ' if timed else ''}passes all filters"
        )
    return lines


def _of_time(coverage: "Coverage", *, timed: bool) -> list[str]:
    """Why there was nothing though no filter is in the way."""
    if not coverage.looked_at:
        return ["the server has seen no flow yet"]
    if not (timed and coverage.HasField("oldest") and coverage.HasField("newest")):
        return []
    oldest, newest = map(time_text, (coverage.oldest, coverage.newest))
    return [f"no flow is of the time asked for; the server has those from {oldest} to {newest}"]


def _judged(wanted: _Wanted, ends: set[str], answer: "FilterHintsResponse") -> Iterator[str]:
    """Compare one value with those that the server's flows have."""
    if not answer.coverage.looked_at:
        return
    having = [hint for hint in answer.hints if wanted.matches(hint.value)]
    name, text = wanted.name, visible(wanted.text)
    if not having:
        if answer.truncated or answer.coverage.unread:
            return
        values = [hint.value for hint in answer.hints or answer.similar]
        if wanted.field == "port":
            # One that a client was given for a moment is not what somebody meant.
            values = [port for port in values if port.isdecimal() and int(port) < _EPHEMERAL_PORTS]
        likely = ", ".join(map(visible, values[:_SHOWN_MAX]))
        advice = f"; did you mean {likely}?" if wanted.search else f"; there is {likely}"
        advice = advice if likely else ""
        yield f"no {name} matches {text} among the flows the server has{advice}"
    elif ends == {"source"} and not any(hint.flows_as_source for hint in having):
        flows = sum(hint.flows_as_destination for hint in having)
        yield f"no flow comes from {name} {text}, but {flows:,} go to it"
    elif ends == {"destination"} and not any(hint.flows_as_destination for hint in having):
        flows = sum(hint.flows_as_source for hint in having)
        yield f"no flow goes to {name} {text}, but {flows:,} come from it"


def _gathered(filters: Iterable[FlowFilter]) -> list[tuple[_Wanted, set[str]]]:
    """The values of all filters, each once, with the ends that it may be at."""
    found: dict[tuple[str, str], tuple[_Wanted, set[str]]] = {}
    for item in filters:
        for end in _SIDES:
            for wanted in _end_values(item, end):
                found.setdefault((wanted.field, wanted.text), (wanted, set()))[1].add(end)
        for wanted in _flow_values(item):
            found.setdefault((wanted.field, wanted.text), (wanted, set()))
    return list(found.values())


def _end_values(item: FlowFilter, end: str) -> Iterator[_Wanted]:
    """The plain values that a filter asks of one end."""
    for field, read in _END_FIELDS.items():
        for value in getattr(item, f"{end}_{field}"):
            yield from read(value)


def _flow_values(item: FlowFilter) -> Iterator[_Wanted]:
    """The plain values that a filter asks of the flow itself."""
    yield from _of_few("verdict", _names(Verdict.DESCRIPTOR, item.verdict))
    yield from _of_few("drop-reason", map(drop_reason_name, item.drop_reason_desc))
    yield from _of_few("direction", _names(TrafficDirection.DESCRIPTOR, item.traffic_direction))
    yield from _of_few("http-method", (method.upper() for method in item.http_method))
    for protocol in map(str.lower, item.protocol):
        if protocol not in _APPLICATIONS:
            yield _few("protocol", protocol, prefix=protocol == "icmp")
    for status in item.http_status_code:
        yield _few("http-status", status, prefix=status.endswith("+"))
    for node in item.node_name:
        if "*" not in node and not node.endswith("/"):
            yield _exact("node", node) if "/" in node else _last_part("node", node)
    for interface in item.interface:
        if interface.name:
            yield _exact("interface", interface.name)


def _names(enum: "EnumDescriptor", numbers: Iterable[int]) -> Iterator[str]:
    known = enum.values_by_number
    return (known[number].name for number in numbers if number in known)


def _of_few(field: str, texts: Iterable[str]) -> Iterator[_Wanted]:
    return (_few(field, text) for text in texts if text)


def _few(field: str, text: str, *, prefix: bool = False) -> _Wanted:
    """A value, or how it begins, of a field that has so few that nobody mistypes one."""
    begin = text.removesuffix("+")
    return _Wanted(
        field, text, "", lambda value: value.startswith(begin) if prefix else value == text
    )


def _exact(field: str, text: str) -> _Wanted:
    return _Wanted(field, text, text, lambda value: value == text)


def _last_part(field: str, text: str) -> _Wanted:
    return _Wanted(field, text, text, lambda value: value.rpartition("/")[2] == text)


def _labels(selector: str) -> Iterator[_Wanted]:
    if _PLAIN_LABEL.fullmatch(selector):
        text = selector.removeprefix("any:")
        yield _Wanted("label", text, text, lambda value: text in {value, value.partition(":")[2]})


def _named(field: str, pattern: str) -> Iterator[_Wanted]:
    """A pod or service: `NAMESPACE/BEGIN`, where either may be empty; without a slash `default`."""
    namespace, slash, begin = pattern.partition("/")
    if not slash:
        namespace, begin = "default", pattern
    begin = begin.partition("/")[0]
    if not begin:
        if namespace and field == "pod":
            yield _exact("namespace", namespace)
        return
    text = f"{namespace}/{begin}" if namespace else begin

    def matches(value: str) -> bool:
        home, _, name = value.partition("/")
        return name.startswith(begin) and namespace in {"", home}

    yield _Wanted(field, text, text, matches)


_END_FIELDS: Final[dict[str, Callable[[Any], Iterable[_Wanted]]]] = {
    "pod": lambda pattern: _named("pod", pattern),
    "service": lambda pattern: _named("service", pattern),
    "label": _labels,
    "workload": lambda one: [_last_part("workload", one.name)] if one.name else [],
    "identity": lambda number: [_exact("identity", str(number))],
    "cluster_name": lambda name: [_exact("cluster", name)],
    "ip": lambda text: [] if "/" in text else [_exact("ip", text)],
    "port": lambda text: [_exact("port", text)],
    "fqdn": lambda name: [] if "*" in name else [_exact("fqdn", name.strip().rstrip(".").lower())],
}
"""By field of FlowFilter, without its end: reads the values of it that can be looked up."""
