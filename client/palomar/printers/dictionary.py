"""The dict format: one `KEY: value` line a column, records parted by dashes."""

from palomar.printers.escape import visible
from palomar.printers.events import (
    EventResponse,
    agent_event_details,
    agent_event_type,
    debug_event_cpu,
    debug_event_mark,
    debug_event_source,
    debug_event_type,
    event_time,
)
from palomar.printers.look import Look
from palomar.printers.notices import (
    loss_source,
    loss_span,
    node_message,
    node_names,
    node_state,
    response_time,
)
from palomar.printers.printer import Printer
from palomar_proto.observer import observer_pb2

_SEPARATOR = "------------\n"


class DictPrinter(Printer):
    """Prints one record of several lines a flow or event."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._started = False

    def flow(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Print the flow's record."""
        flow = response.flow
        columns = self._columns
        source, destination = columns.ends(flow)
        return (
            f"{self._begin()}"
            f"  TIMESTAMP: {columns.time(flow)}\n"
            f"{self._node(flow.node_name)}"
            f"     SOURCE: {source}\n"
            f"DESTINATION: {destination}\n"
            f"       TYPE: {columns.type(flow)}\n"
            f"    VERDICT: {columns.verdict(flow)}\n"
            f"    SUMMARY: {columns.summary(flow)}\n"
        )

    def loss(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Print the record of a loss."""
        lost = response.lost_events
        format_time = self._columns.format_time
        return (
            f"{self._begin()}"
            f"  TIMESTAMP: {response_time(response, format_time)}\n"
            f"{self._node(response.node_name)}"
            f"     SOURCE: {loss_source(lost)}\n"
            f"       TYPE: EVENTS LOST\n"
            f"    VERDICT: -\n"
            f"    SUMMARY: CPU({lost.cpu.value}) - {lost.num_events_lost}"
            f"{loss_span(lost, format_time)}\n"
        )

    def node_status(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Print the record of a node status change."""
        status = response.node_status
        return (
            f"{self._begin()}"
            f"  TIMESTAMP: {response_time(response, self._columns.format_time)}\n"
            f"      STATE: {node_state(status)}\n"
            f"      NODES: {node_names(status)}\n"
            f"    MESSAGE: {node_message(status) if status.message else 'N/A'}\n"
        )

    def agent_event(self, response: observer_pb2.GetAgentEventsResponse) -> str:
        """Print the event's record."""
        event = response.agent_event
        return (
            f"{self._event_start(response)}"
            f"       TYPE: {agent_event_type(event)}\n"
            f"    DETAILS: {agent_event_details(event, self._columns.format_time)}\n"
        )

    def debug_event(self, response: observer_pb2.GetDebugEventsResponse) -> str:
        """Print the event's record."""
        event = response.debug_event
        return (
            f"{self._event_start(response)}"
            f"       TYPE: {debug_event_type(event)}\n"
            f"       FROM: {debug_event_source(event)}\n"
            f"       MARK: {debug_event_mark(event)}\n"
            f"        CPU: {debug_event_cpu(event)}\n"
            f"    MESSAGE: {visible(event.message)}\n"
        )

    def _event_start(self, response: EventResponse) -> str:
        # Programs that read Hubble's records know the line to go on behind the dashes.
        return (
            f"{self._begin().rstrip()}"
            f"  TIMESTAMP: {event_time(response, self._columns.format_time)}\n"
            f"{self._node(response.node_name)}"
        )

    def _begin(self) -> str:
        separator = _SEPARATOR if self._started else ""
        self._started = True
        return separator

    def _node(self, name: str) -> str:
        return f"       NODE: {visible(name)}\n" if self._look.node_name else ""
