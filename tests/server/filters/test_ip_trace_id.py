from __future__ import annotations

from palomar_server.table import Kind
from palomar_server.testing import event_row, flow_rows
from tests.server.filters.selecting import selected


def test_flows_match_by_trace_id() -> None:
    rows = flow_rows(3, ip_trace_id=[0, 7, (1 << 64) - 1])
    assert selected(rows, ip_trace_id=[7]) == [1]
    assert selected(rows, ip_trace_id=[(1 << 64) - 1, 1, 2, 3, 4]) == [2]


def test_no_trace_is_id_0_for_every_event() -> None:
    assert selected(flow_rows(1), ip_trace_id=[0]) == [0]
    assert selected(event_row(Kind.AGENT), messages=[b""], ip_trace_id=[0]) == [0]
