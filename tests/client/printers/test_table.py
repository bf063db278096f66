from palomar.printers.color import COLORED
from palomar.printers.look import Look
from palomar.printers.table import TablePrinter
from palomar.testing import make_response
from palomar_proto.observer.observer_pb2 import GetFlowsResponse


def test_columns_are_aligned_when_the_stream_ends(loss: GetFlowsResponse) -> None:
    printer = TablePrinter(Look(palette=COLORED))
    assert printer.flow(make_response()) == printer.loss(loss) == ""
    lines = printer.end().splitlines()
    assert len(lines) == 3
    for heading, value in (("SOURCE", "default/web-0:4000"), ("VERDICT", "FORWARDED")):
        assert lines[0].index(heading) == lines[1].index(value)
    assert lines[0].index("TYPE") == lines[2].index("EVENTS LOST")
    assert "\x1b" not in lines[1]


def test_nothing_is_printed_for_no_flows() -> None:
    assert TablePrinter(Look()).end() == ""


def test_node_names_are_a_column_on_demand() -> None:
    printer = TablePrinter(Look(node_name=True))
    printer.flow(make_response())
    assert printer.end().split()[:2] == ["TIMESTAMP", "NODE"]
