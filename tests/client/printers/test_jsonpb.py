import json

from palomar.printers.columns import Look
from palomar.printers.jsonpb import JsonPrinter
from palomar.testing import make_response
from palomar_proto.observer.observer_pb2 import GetFlowsResponse


def test_every_kind_of_response_is_a_line(
    loss: GetFlowsResponse, nodes_down: GetFlowsResponse
) -> None:
    printer = JsonPrinter(Look())
    lines = printer.flow(make_response()), printer.loss(loss), printer.node_status(nodes_down)
    assert [next(iter(json.loads(line))) for line in lines] == [
        "flow",
        "lost_events",
        "node_status",
    ]
    assert all(line.endswith("}\n") and line.count("\n") == 1 for line in lines)


def test_names_are_those_of_the_proto_files() -> None:
    flow = json.loads(JsonPrinter(Look()).flow(make_response()))["flow"]
    assert {"IP", "Summary", "node_name", "event_type"} <= flow.keys()
    assert flow["time"] == "2024-03-05T10:20:30.123456789Z"
