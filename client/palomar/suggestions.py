"""Why a filter may have matched nothing: values that no flow of the server has, and likely ones.

In: the request that found nothing, and a client to ask palomard's FilterHints with. Out: a line for
each value that cannot match: "no pod matches web-x; did you mean shop/web-1?". Only filters by
plain values are looked at, since of patterns nobody can tell what was meant. Used by `observation`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from palomar.errors import PalomarError
from palomar.printers.escape import visible
from palomar.quantities import time_text
from palomar_proto.flow.flow_pb2 import FlowFilter, Verdict
from palomar_proto.observer.observer_pb2 import GetFlowsRequest

if TYPE_CHECKING:
    from palomar.client import Client
    from palomar_proto.palomar.v1.hints_pb2 import FilterHintsResponse

_LOOKUPS_MAX = 6
"""Values that are asked about: more make no text that anybody reads."""

_HINTS_MAX = 200
"""Values that one answer may have; where there are more, nothing is said for certain."""

_SHOWN_MAX = 5
_SIDES = ("source", "destination")
_PLAIN_LABEL = re.compile(r"[\w./:-]+=[\w.-]+")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One value that a filter asks for.

    Attributes:
        field: Its field, as `Client.hints` names it.
        text: The value as a user would write it.
        search: What to look for.
        matches: Tells whether a value that flows have is one that the filter lets pass.
    """

    field: str
    text: str
    search: str
    matches: Callable[[str], bool]


def suggestions(client: "Client", request: GetFlowsRequest) -> list[str]:
    """Say which values of the filters no flow has that the server holds.

    Args:
        client: Whom to ask. A server that knows no hints makes for no suggestions, not for an
            error: the flows, or that there are none, were the answer, and this is a courtesy.
        request: What found nothing.
    """
    lines: list[str] = []
    coverage = None
    try:
        for wanted, ends in _gathered(request.whitelist)[:_LOOKUPS_MAX]:
            answer = client.hints(wanted.field, wanted.search, limit=_HINTS_MAX)
            lines += _judged(wanted, ends, answer)
            coverage = answer.coverage
    except PalomarError:
        return []
    if not lines and coverage is not None and coverage.HasField("oldest"):
        since = time_text(coverage.oldest)
        lines.append(
            f"each of these filters matches some flow since {since}, but none matches all of them"
        )
    return lines


def _judged(wanted: _Wanted, ends: set[str], answer: "FilterHintsResponse") -> Iterator[str]:
    """Compare one value with those that the server's flows have."""
    if not answer.coverage.looked_at:
        return
    having = [hint for hint in answer.hints if wanted.matches(hint.value)]
    name, text = wanted.field.replace("-", " "), visible(wanted.text)
    if not having:
        if answer.truncated:
            return
        likely = [visible(hint.value) for hint in answer.hints or answer.similar][:_SHOWN_MAX]
        advice = f"; did you mean {', '.join(likely)}?" if likely else ""
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
    names = {value.number: value.name for value in Verdict.DESCRIPTOR.values}
    for verdict in item.verdict:
        if name := names.get(verdict):
            yield _exact("verdict", name)
    for node in item.node_name:
        if "*" not in node and not node.endswith("/"):
            yield _exact("node", node) if "/" in node else _last_part("node", node)
    for interface in item.interface:
        if interface.name:
            yield _exact("interface", interface.name)


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
