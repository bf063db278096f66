import pytest

from palomar.printers.compact import CompactPrinter
from palomar.printers.look import Look
from palomar.testing import make_response
from palomar_proto.observer.observer_pb2 import GetFlowsResponse


@pytest.mark.parametrize(
    ("is_reply", "ends"),
    [
        (None, "default/web-0:4000 (ID:20001) <> 10.0.0.11:80 (world)"),
        (False, "default/web-0:4000 (ID:20001) -> 10.0.0.11:80 (world)"),
        (True, "10.0.0.11:80 (world) <- default/web-0:4000 (ID:20001)"),
    ],
)
def test_arrow_points_at_who_was_called(ends: str, *, is_reply: bool | None) -> None:
    line = CompactPrinter(Look()).flow(make_response(is_reply=is_reply))
    assert line == f"Mar  5 10:20:30.123: {ends} to-stack FORWARDED (TCP Flags: SYN)\n"


def test_loss_is_a_line_of_its_own(loss: GetFlowsResponse) -> None:
    line = CompactPrinter(Look()).loss(loss)
    assert line == "Mar  5 10:20:31.000 EVENTS LOST: PERF_EVENT_RING_BUFFER CPU(3) 7\n"


def test_node_name_on_demand() -> None:
    assert " [default/node-1]: " in CompactPrinter(Look(node_name=True)).flow(make_response())
