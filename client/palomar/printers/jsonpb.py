"""The jsonpb format: one response a line, for programs; and the form it had before."""

from palomar.printers.field_mask import HUBBLE_PATHS
from palomar.printers.look import Look
from palomar.printers.printer import Printer
from palomar.protojson import to_json
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsResponse,
    GetDebugEventsResponse,
    GetFlowsResponse,
)


class JsonPrinter(Printer):
    """Prints each response, whatever it holds, as one line of JSON."""

    shows_all_fields = True

    def field_paths(self) -> list[str]:
        """Read all fields."""
        return []

    def flow(
        self, response: GetFlowsResponse | GetAgentEventsResponse | GetDebugEventsResponse
    ) -> str:
        """Print the response."""
        return f"{to_json(response)}\n"

    loss = flow
    node_status = flow
    agent_event = flow
    debug_event = flow


class LegacyJsonPrinter(Printer):
    """Prints flows and events without the response around them, as Hubble did up to 0.10.

    HUBBLE_COMPAT=legacy-json-output asks for it. Node states had no place in it.
    """

    shows_all_fields = True

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        if look.strict:
            # hubble 1.19 takes it for a human format here, and asks for few fields.
            self.shows_all_fields = False

    def field_paths(self) -> list[str]:
        """Read all fields."""
        return list(HUBBLE_PATHS) if self._look.strict else []

    def flow(self, response: GetFlowsResponse) -> str:
        """Print the flow."""
        return f"{to_json(response.flow)}\n"

    def loss(self, response: GetFlowsResponse) -> str:
        """Print the lost events."""
        return f"{to_json(response.lost_events)}\n"

    def node_status(self, response: GetFlowsResponse) -> str:
        """Print nothing."""
        del response
        return ""

    def agent_event(self, response: GetAgentEventsResponse) -> str:
        """Print the event."""
        return f"{to_json(response.agent_event)}\n"

    def debug_event(self, response: GetDebugEventsResponse) -> str:
        """Print the event."""
        return f"{to_json(response.debug_event)}\n"
