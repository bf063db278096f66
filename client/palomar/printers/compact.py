"""The compact format: one line a flow, the default.

    TIME[ [NODE]]: SOURCE IDENTITY ARROW DESTINATION IDENTITY TYPE VERDICT (SUMMARY)

The arrow is `->`; `<-` for a reply, whose ends are swapped so that the opener of the connection
stays on the left; `<>` where nobody knows.
"""

from palomar.printers.escape import visible
from palomar.printers.notices import loss_source, loss_span, response_time
from palomar.printers.printer import Printer
from palomar_proto.observer import observer_pb2


class CompactPrinter(Printer):
    """Prints one line a flow."""

    def flow(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Print the flow's line."""
        flow = response.flow
        columns = self._columns
        left, right = columns.ends(flow)
        left_identity, right_identity = columns.identities(flow)
        if not flow.HasField("is_reply"):
            arrow = "<>"
        elif flow.is_reply.value:
            arrow = "<-"
            left, right = right, left
            left_identity, right_identity = right_identity, left_identity
        else:
            arrow = "->"
        node = f" [{visible(flow.node_name)}]" if self._look.node_name else ""
        return (
            f"{columns.time(flow)}{node}: {left} {left_identity} {arrow} {right} {right_identity} "
            f"{columns.type(flow)} {columns.verdict(flow)} ({columns.summary(flow)})\n"
        )

    def loss(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Print how many events which stage lost."""
        lost = response.lost_events
        format_time = self._columns.format_time
        return (
            f"{response_time(response, format_time)} EVENTS LOST: {loss_source(lost)} "
            f"CPU({lost.cpu.value}) {lost.num_events_lost}{loss_span(lost, format_time)}\n"
        )
