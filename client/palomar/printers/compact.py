"""The compact format: one line a flow or event, the default.

    TIME[ [NODE]]: SOURCE IDENTITY ARROW DESTINATION IDENTITY TYPE VERDICT (SUMMARY)

    TIME[ [NODE]]: TYPE (DETAILS)
    TIME[ [NODE]]: ENDPOINT TYPE MARK: HASH CPU: NUMBER (MESSAGE)

for flows, agent events and debug events. The arrow is `->`; `<-` for a reply, whose ends are
swapped so that the opener of the connection stays on the left; `<>` where nobody knows.
"""

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
from palomar.printers.notices import loss_source, loss_span, response_time
from palomar.printers.printer import Printer
from palomar_proto.observer import observer_pb2


class CompactPrinter(Printer):
    """Prints one line a flow or event."""

    def flow(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Print the flow's line."""
        flow = response.flow
        columns = self._columns
        left, right = columns.parties(flow)
        if not flow.HasField("is_reply"):
            arrow = "<>"
        elif flow.is_reply.value:
            arrow = "<-"
            left, right = right, left
        else:
            arrow = "->"
        node = f" [{visible(flow.node_name)}]" if self._look.node_name else ""
        return (
            f"{columns.time(flow)}{node}: {left} {arrow} {right} "
            f"{columns.type_and_verdict(flow)} ({columns.summary(flow)})\n"
        )

    def loss(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Print how many events which stage lost."""
        lost = response.lost_events
        format_time = self._columns.format_time
        return (
            f"{response_time(response, format_time)} EVENTS LOST: {loss_source(lost)} "
            f"CPU({lost.cpu.value}) {lost.num_events_lost}{loss_span(lost, format_time)}\n"
        )

    def agent_event(self, response: observer_pb2.GetAgentEventsResponse) -> str:
        """Print the event's line."""
        event = response.agent_event
        details = agent_event_details(event, self._columns.format_time)
        return f"{self._event_start(response)}{agent_event_type(event)} ({details})\n"

    def debug_event(self, response: observer_pb2.GetDebugEventsResponse) -> str:
        """Print the event's line."""
        event = response.debug_event
        return (
            f"{self._event_start(response)}{debug_event_source(event)} {debug_event_type(event)} "
            f"MARK: {debug_event_mark(event)} CPU: {debug_event_cpu(event)} "
            f"({visible(event.message)})\n"
        )

    def _event_start(self, response: EventResponse) -> str:
        node = f" [{visible(response.node_name)}]" if self._look.node_name else ""
        return f"{event_time(response, self._columns.format_time)}{node}: "
