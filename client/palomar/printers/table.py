"""The table format: aligned columns under a heading.

Widths are known only at the end, so everything is held back until then: not for following. What
is held is bounded by what the server has in its ring.
"""

from dataclasses import replace

from palomar.printers.color import PLAIN
from palomar.printers.escape import visible
from palomar.printers.events import (
    agent_event_details,
    agent_event_type,
    debug_event_cpu,
    debug_event_mark,
    debug_event_source,
    debug_event_type,
    event_time,
)
from palomar.printers.look import Look
from palomar.printers.notices import loss_source, loss_span, response_time
from palomar.printers.printer import Printer
from palomar_proto.observer import observer_pb2

_PADDING_CHARACTERS = 3
_FLOW_HEADING = ("SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY")
_AGENT_EVENT_HEADING = ("TYPE", "DETAILS")
# Hubble leaves an empty column behind the endpoint.
_DEBUG_EVENT_HEADING = ("FROM", "", "TYPE", "CPU/MARK", "MESSAGE")


class TablePrinter(Printer):
    """Prints all flows or events as one table when the stream has ended."""

    def __init__(self, look: Look) -> None:
        super().__init__(replace(look, palette=PLAIN))  # control sequences would count as width
        self._rows: list[tuple[str, ...]] = []

    def flow(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Add the flow's row."""
        flow = response.flow
        columns = self._columns
        return self._add(
            _FLOW_HEADING,
            columns.time(flow),
            flow.node_name,
            *columns.ends(flow),
            columns.type(flow),
            columns.verdict(flow),
            columns.summary(flow),
        )

    def loss(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Add the row of a loss."""
        lost = response.lost_events
        format_time = self._columns.format_time
        return self._add(
            _FLOW_HEADING,
            response_time(response, format_time),
            response.node_name,
            loss_source(lost),
            "-",
            "EVENTS LOST",
            "-",
            f"CPU({lost.cpu.value}) - {lost.num_events_lost}{loss_span(lost, format_time)}",
        )

    def agent_event(self, response: observer_pb2.GetAgentEventsResponse) -> str:
        """Add the event's row."""
        event = response.agent_event
        format_time = self._columns.format_time
        return self._add(
            _AGENT_EVENT_HEADING,
            event_time(response, format_time),
            response.node_name,
            agent_event_type(event),
            agent_event_details(event, format_time),
        )

    def debug_event(self, response: observer_pb2.GetDebugEventsResponse) -> str:
        """Add the event's row."""
        event = response.debug_event
        return self._add(
            _DEBUG_EVENT_HEADING,
            event_time(response, self._columns.format_time),
            response.node_name,
            debug_event_source(event),
            "",
            debug_event_type(event),
            f"{debug_event_cpu(event)} {debug_event_mark(event)}",
            visible(event.message),
        )

    def end(self) -> str:
        """Lay out all rows; nothing if there are none."""
        if len(self._rows) <= 1:
            return ""
        *padded, _ = zip(*self._rows, strict=True)
        widths = [max(map(len, column)) + _PADDING_CHARACTERS for column in padded]
        lines = [
            "".join(map(str.ljust, row, widths)) + row[-1] + "\n"  # the last column stays ragged
            for row in self._rows
        ]
        self._rows.clear()
        return "".join(lines)

    def _add(self, heading: tuple[str, ...], time: str, node: str, *rest: str) -> str:
        if not self._rows:
            self._rows.append(self._row("TIMESTAMP", "NODE", *heading))
        self._rows.append(self._row(time, visible(node), *rest))
        return ""

    def _row(self, time: str, node: str, *rest: str) -> tuple[str, ...]:
        return (time, node, *rest) if self._look.node_name else (time, *rest)
