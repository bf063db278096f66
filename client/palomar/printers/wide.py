"""The wide format: the table with all that fits on a long line.

Agent and debug events look as in the table, with their node.
"""

from dataclasses import replace

from palomar.printers.drop_reasons import drop_reason_name
from palomar.printers.flow_details import DETAIL_PATHS, direction, interface, short_labels
from palomar.printers.look import Look
from palomar.printers.notices import loss_source, loss_span, response_time
from palomar.printers.table import TablePrinter
from palomar_proto.observer import observer_pb2

_HEADING = (
    "SOURCE", "SRC-IDENTITY", "SRC-LABELS", "DESTINATION", "DST-IDENTITY", "DST-LABELS",
    "DIRECTION", "TYPE", "VERDICT", "REASON", "INTERFACE", "SUMMARY",
)  # fmt: skip
_MISSING = "-"
"""Stands where a flow tells nothing, so that a line has as many words as the heading."""


class WidePrinter(TablePrinter):
    """Prints all flows or events as one table of many columns when the stream has ended."""

    def __init__(self, look: Look) -> None:
        super().__init__(replace(look, node_name=True))

    def field_paths(self) -> list[str]:
        """Add the fields of the columns that only this format has."""
        return [*super().field_paths(), *DETAIL_PATHS]

    def flow(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Add the flow's row."""
        flow = response.flow
        columns = self._columns
        source, destination = columns.ends(flow)
        source_identity, destination_identity = columns.identities(flow)
        cells = (
            source,
            source_identity,
            short_labels(flow.source.labels),
            destination,
            destination_identity,
            short_labels(flow.destination.labels),
            direction(flow),
            columns.type(flow),
            columns.verdict(flow),
            drop_reason_name(flow.drop_reason_desc),
            interface(flow),
            columns.summary(flow),
        )
        shown = [cell or _MISSING for cell in cells]
        return self._add(_HEADING, columns.time(flow), flow.node_name or _MISSING, *shown)

    def loss(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Add the row of a loss."""
        lost = response.lost_events
        format_time = self._columns.format_time
        shown = [_MISSING] * len(_HEADING)
        shown[_HEADING.index("SOURCE")] = loss_source(lost)
        shown[_HEADING.index("TYPE")] = "EVENTS LOST"
        shown[-1] = f"CPU({lost.cpu.value}) - {lost.num_events_lost}{loss_span(lost, format_time)}"
        time = response_time(response, format_time)
        return self._add(_HEADING, time, response.node_name or _MISSING, *shown)
