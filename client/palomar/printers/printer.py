"""What every output format is: a thing that turns the responses of one stream into text.

`palomar observe` gives each response to its printer and writes what comes back. A printer does no
I/O and belongs to one stream, since it may remember what it printed before.
"""

from abc import ABC, abstractmethod

from palomar.printers.columns import FlowColumns, Look
from palomar.printers.notices import node_status_line
from palomar_proto.observer import observer_pb2


class Printer(ABC):
    """One output format.

    Text comes with its line ends; an empty text prints nothing.
    """

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
        return node_status_line(response, self._columns.format_time)

    @abstractmethod
    def agent_event(self, response: observer_pb2.GetAgentEventsResponse) -> str:
        """Turn an agent event into text for standard output."""

    @abstractmethod
    def debug_event(self, response: observer_pb2.GetDebugEventsResponse) -> str:
        """Turn a debug event into text for standard output."""

    def end(self) -> str:
        """Hand out what was held back until the end of the stream."""
        return ""
