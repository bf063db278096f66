from palomar.printers.dictionary import DictPrinter
from palomar.printers.look import Look
from palomar.testing import make_response
from palomar_proto.observer.observer_pb2 import GetFlowsResponse


def test_records_are_parted_by_dashes(loss: GetFlowsResponse, nodes_down: GetFlowsResponse) -> None:
    printer = DictPrinter(Look(node_name=True))
    text = printer.flow(make_response()) + printer.loss(loss) + printer.node_status(nodes_down)
    assert text.splitlines() == [
        "  TIMESTAMP: Mar  5 10:20:30.123",
        "       NODE: default/node-1",
        "     SOURCE: default/web-0:4000",
        "DESTINATION: 10.0.0.11:80",
        "       TYPE: to-stack",
        "    VERDICT: FORWARDED",
        "    SUMMARY: TCP Flags: SYN",
        "------------",
        "  TIMESTAMP: Mar  5 10:20:31.000",
        "       NODE: default/node-1",
        "     SOURCE: PERF_EVENT_RING_BUFFER",
        "       TYPE: EVENTS LOST",
        "    VERDICT: -",
        "    SUMMARY: CPU(3) - 7",
        "------------",
        "  TIMESTAMP: Mar  5 10:20:32.000",
        "      STATE: NODE_UNAVAILABLE",
        "      NODES: west/n9",
        "    MESSAGE: N/A",
    ]
