"""Runs cases of filters/cases.jsonl: filters on messages, and on rows as a server has them.

Both ways have to give the same events. A server also passes on every loss notice, whatever the
filters say, which is no matter of filters. Flows with a number that no column holds are left to the
first way.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter import FilterError, compile_lists
from palomar_server.errors import InvalidRequest
from palomar_server.filters.compiled import CompiledFilter
from tests.conformance.corpus import Case, Comparison, Run
from tests.conformance.flow_rows import ALL, FILTERED, OF_THE_SERVER, FlowRows, to_rows

if TYPE_CHECKING:
    from pathlib import Path

    from palomar_proto.flow_filter import Event

_EVENTS: dict[str, Any] = {
    "flow": flow_pb2.Flow,
    "agent_event": flow_pb2.AgentEvent,
    "debug_event": flow_pb2.DebugEvent,
    "lost_events": flow_pb2.LostEvent,
}
_OF_ANY_PART = ("uuid", "experimental")
"""Fields that look at what columns leave to the server, or at everything."""


class _Events:
    """The events all cases are about."""

    def __init__(self, path: Path) -> None:
        self.events: list[Event] = []
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                ((name, content),) = json.loads(line).items()
                self.events.append(json_format.ParseDict(content, _EVENTS[name]()))
        self._in_columns = to_rows(self.events, compared=FILTERED)
        # Where anything may be asked, what columns do not give back exactly is in a message.
        self._exact = to_rows(self.events, compared=ALL | OF_THE_SERVER)

    def rows(self, filters: list[flow_pb2.FlowFilter]) -> FlowRows:
        """The rows to run these filters on."""
        fields = {field.name for one in filters for field, _ in one.ListFields()}
        return self._in_columns if fields.isdisjoint(_OF_ANY_PART) else self._exact


def prepare(folder: Path) -> Run:
    """Read the events that all cases share, filters/flows.jsonl."""
    events = _Events(folder / "filters" / "flows.jsonl")
    return lambda case: run(case, events)


def run(case: Case, events: _Events) -> Comparison:
    """Run one case both ways."""
    whitelist, blacklist = (
        [json_format.ParseDict(one, flow_pb2.FlowFilter()) for one in case.get(name) or ()]
        for name in ("whitelist", "blacklist")
    )
    rows = events.rows([*whitelist, *blacklist])
    untold = {*rows.left_out}
    untold.update(i for i, one in enumerate(events.events) if isinstance(one, flow_pb2.LostEvent))
    actual = {
        "messages": _by_messages(whitelist, blacklist, events),
        "rows": _by_rows(whitelist, blacklist, rows, untold),
    }
    if "error" in case:
        return Comparison({"messages": "refused", "rows": "refused"}, actual)
    expected = case["match"]
    return Comparison({"messages": expected, "rows": _without(expected, untold)}, actual)


def _by_messages(
    whitelist: list[flow_pb2.FlowFilter], blacklist: list[flow_pb2.FlowFilter], events: _Events
) -> object:
    try:
        matcher = compile_lists(whitelist, blacklist)
    except FilterError:
        return "refused"
    return [index for index, event in enumerate(events.events) if matcher.matches(event)]


def _by_rows(
    whitelist: list[flow_pb2.FlowFilter],
    blacklist: list[flow_pb2.FlowFilter],
    rows: FlowRows,
    untold: set[int],
) -> object:
    try:
        compiled = CompiledFilter(whitelist, blacklist, rows.surroundings, rows.encoder)
    except InvalidRequest:
        return "refused"
    return _without(compiled.mask(rows.view()).nonzero()[0].tolist(), untold)


def _without(indices: list[int], untold: set[int]) -> list[int]:
    return [index for index in indices if index not in untold]
