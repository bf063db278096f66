"""The jsonpb format: one GetFlowsResponse a line, for programs."""

from palomar.printers.printer import Printer
from palomar.printers.protojson import to_json
from palomar_proto.observer import observer_pb2


class JsonPrinter(Printer):
    """Prints each response, whatever it holds, as one line of JSON."""

    def flow(self, response: observer_pb2.GetFlowsResponse) -> str:
        """Print the response."""
        return f"{to_json(response)}\n"

    loss = flow
    node_status = flow
