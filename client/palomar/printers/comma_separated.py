"""The csv format: one record a flow or event under a heading, for spreadsheets and scripts.

Written after RFC 4180: CRLF ends each record, and a field with a comma or quote is quoted. The
columns are those of `FLOW_COLUMNS`; new ones will come last. Times are RFC 3339 in UTC whatever
`--time-format` says. A text that a spreadsheet would take for a formula has a `'` before it, since
names and summaries come from somebody else's machine.
"""

from palomar.printers.drop_reasons import drop_reason_name
from palomar.printers.escape import visible
from palomar.printers.events import (
    EventResponse,
    agent_event_details,
    agent_event_type,
    debug_event_cpu,
    debug_event_mark,
    debug_event_source,
    debug_event_type,
)
from palomar.printers.flow_details import DETAIL_PATHS, direction, interface, protocol
from palomar.printers.look import Look
from palomar.printers.notices import loss_source
from palomar.printers.printer import Printer
from palomar.printers.time_format import rfc3339_formatter
from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2

FLOW_COLUMNS = (
    "time", "node", "uuid", "type", "verdict", "drop_reason", "direction", "reply", "protocol",
    "source_ip", "source_port", "source_namespace", "source_pod", "source_service",
    "source_names", "source_identity", "source_labels",
    "destination_ip", "destination_port", "destination_namespace", "destination_pod",
    "destination_service", "destination_names", "destination_identity", "destination_labels",
    "interface", "summary",
)  # fmt: skip
"""Of a flow. `reply` is true, false or, if unknown, empty. Names and labels are parted by spaces. A
loss has the type `EVENTS LOST`, and in `summary` the stage and the count."""

_AGENT_EVENT_COLUMNS = ("time", "node", "type", "details")
_DEBUG_EVENT_COLUMNS = ("time", "node", "source", "type", "cpu", "mark", "message")

_LINE_END = "\r\n"
_FORMULA_STARTS = ("=", "+", "-", "@")


class CsvPrinter(Printer):
    """Prints one record a flow or event."""

    def __init__(self, look: Look) -> None:
        super().__init__(Look(policy_names=look.policy_names, translate=True))
        self._format_time = rfc3339_formatter()
        self._started = False

    def field_paths(self) -> list[str]:
        """Add the fields of the columns that only this format has."""
        return [*super().field_paths(), *DETAIL_PATHS]

    def flow(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Print the flow's record."""
        flow = response.flow
        time = self._format_time(flow.time.seconds, flow.time.nanos)
        return self._record(
            FLOW_COLUMNS,
            time if flow.HasField("time") else "",
            flow.node_name,
            flow.uuid,
            self._columns.type(flow),
            self._columns.verdict(flow),
            drop_reason_name(flow.drop_reason_desc),
            direction(flow),
            _reply(flow),
            protocol(flow),
            *_end(flow, "source"),
            *_end(flow, "destination"),
            interface(flow),
            self._columns.summary(flow),
        )

    def loss(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Print the record of a loss."""
        lost = response.lost_events
        told = {
            "time": self._time(response),
            "node": response.node_name,
            "type": "EVENTS LOST",
            "summary": f"{loss_source(lost)} CPU({lost.cpu.value}) {lost.num_events_lost}",
        }
        return self._record(FLOW_COLUMNS, *(told.get(column, "") for column in FLOW_COLUMNS))

    def agent_event(self, response: observer_pb2.GetAgentEventsResponse) -> str:
        """Print the event's record."""
        event = response.agent_event
        return self._record(
            _AGENT_EVENT_COLUMNS,
            self._time(response),
            response.node_name,
            agent_event_type(event),
            agent_event_details(event, self._format_time),
        )

    def debug_event(self, response: observer_pb2.GetDebugEventsResponse) -> str:
        """Print the event's record."""
        event = response.debug_event
        return self._record(
            _DEBUG_EVENT_COLUMNS,
            self._time(response),
            response.node_name,
            debug_event_source(event),
            debug_event_type(event),
            debug_event_cpu(event),
            debug_event_mark(event),
            event.message,
        )

    def _time(self, response: EventResponse | observer_pb2.GetFlowsResponse) -> str:
        if not response.HasField("time"):
            return ""
        return self._format_time(response.time.seconds, response.time.nanos)

    def _record(self, columns: tuple[str, ...], *cells: str) -> str:
        record = ",".join(map(_cell, cells)) + _LINE_END
        if self._started:
            return record
        self._started = True
        return ",".join(columns) + _LINE_END + record


def _reply(flow: flow_pb2.Flow) -> str:
    if not flow.HasField("is_reply"):
        return ""
    return "true" if flow.is_reply.value else "false"


def _end(flow: flow_pb2.Flow, side: str) -> tuple[str, ...]:
    """List what is known of the source or the destination."""
    endpoint: flow_pb2.Endpoint = getattr(flow, side)
    service: flow_pb2.Service = getattr(flow, f"{side}_service")
    layer4 = flow.l4.WhichOneof("protocol")
    port = getattr(getattr(flow.l4, layer4), f"{side}_port", 0) if layer4 else 0
    return (
        getattr(flow.IP, side),
        str(port) if port else "",
        endpoint.namespace,
        endpoint.pod_name,
        f"{service.namespace}/{service.name}" if service.name else "",
        " ".join(getattr(flow, f"{side}_names")),
        str(endpoint.identity),
        " ".join(endpoint.labels),
    )


def _cell(text: str) -> str:
    text = visible(text)
    if text.startswith(_FORMULA_STARTS):
        text = f"'{text}"
    if "," in text or '"' in text:
        text = text.replace('"', '""')
        return f'"{text}"'
    return text
