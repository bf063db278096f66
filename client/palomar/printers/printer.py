"""What every output format is: a thing that turns the responses of one stream into text.

`palomar observe` gives each response to its printer and writes what comes back. A printer does no
I/O and belongs to one stream, since it may remember what it printed before.
"""

from abc import ABC, abstractmethod

from palomar.printers.columns import FlowColumns
from palomar.printers.field_mask import printed_paths
from palomar.printers.look import Look
from palomar.printers.notices import node_status_line
from palomar_proto.observer import observer_pb2


class Printer(ABC):
    """One output format.

    Text comes with its line ends; an empty text prints nothing.

    Attributes:
        shows_all_fields: Whether it prints whatever fields a flow has, so that a user may choose
            them with a field mask.
    """

    shows_all_fields = False

    def __init__(self, look: Look) -> None:
        self._look = look
        self._columns = FlowColumns(look)

    @abstractmethod
    def flow(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Turn a response that holds a flow into text for standard output."""

    @abstractmethod
    def loss(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Turn a response that holds lost events into text for standard output."""

    def node_status(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Turn a response that holds a node status change into text for standard error."""
        strict = self._look.strict
        return node_status_line(response, self._columns.format_time, strict=strict)

    @abstractmethod
    def agent_event(self, response: observer_pb2.GetAgentEventsResponse) -> str:
        """Turn an agent event into text for standard output."""

    @abstractmethod
    def debug_event(self, response: observer_pb2.GetDebugEventsResponse) -> str:
        """Turn a debug event into text for standard output."""

    def field_paths(self) -> list[str]:
        """List the fields of a flow that this printer reads, for a field mask; empty for all."""
        return printed_paths(self._look)

    def end(self) -> str:
        """Hand out what was held back until the end of the stream."""
        return ""
