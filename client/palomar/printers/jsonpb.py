"""The jsonpb format: one response a line, for programs."""

from palomar.printers.printer import Printer
from palomar.printers.protojson import to_json
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsResponse,
    GetDebugEventsResponse,
    GetFlowsResponse,
)


class JsonPrinter(Printer):
    """Prints each response, whatever it holds, as one line of JSON."""

    def flow(
        self, response: GetFlowsResponse | GetAgentEventsResponse | GetDebugEventsResponse
    ) -> str:
        """Print the response."""
        return f"{to_json(response)}\n"

    loss = flow
    node_status = flow
    agent_event = flow
    debug_event = flow
