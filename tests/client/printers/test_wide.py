from palomar.printers.color import COLORED
from palomar.printers.look import Look
from palomar.printers.wide import WidePrinter
from palomar.testing import make_response
from palomar_proto.observer.observer_pb2 import GetFlowsResponse


def test_a_line_has_a_word_in_every_column(loss: GetFlowsResponse) -> None:
    printer = WidePrinter(Look(palette=COLORED))
    drop = {"verdict": "DROPPED", "event_type": {"type": 1, "sub_type": 133}}
    assert printer.flow(make_response(**drop, drop_reason_desc="POLICY_DENIED")) == ""
    printer.loss(loss)
    heading, flow, lost = printer.end().splitlines()
    for name, of_flow, of_loss in (
        ("SOURCE", "default/web-0:4000", "PERF_EVENT_RING_BUFFER"),
        ("SRC-IDENTITY", "(ID:20001)", "-"),
        ("TYPE", "Policy denied", "EVENTS LOST"),
        ("REASON", "POLICY_DENIED", "-"),
        ("INTERFACE", "-", "-"),
    ):
        start = heading.index(f" {name}") + 1
        assert flow[start:].startswith(of_flow)
        assert lost[start:].startswith(of_loss)
    assert "\x1b" not in flow


def test_it_asks_for_its_own_fields() -> None:
    assert {"interface", "source.labels"} <= {*WidePrinter(Look()).field_paths()}
