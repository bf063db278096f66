from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import selected


def test_flows_match_by_any_of_the_verdicts() -> None:
    rows = flow_rows(8, verdict=range(8))
    assert selected(rows, verdict=[flow_pb2.DROPPED, flow_pb2.VERDICT_UNKNOWN]) == [0, 2]


def test_a_verdict_without_name_matches_nothing() -> None:
    assert selected(flow_rows(8, verdict=range(8)), verdict=[1_000]) == []
