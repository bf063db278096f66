from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import EndpointTable
from palomar_server.filters.verdict import compile_verdict
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows


def test_flows_match_by_any_of_the_verdicts() -> None:
    rows = flow_rows(8, verdict=range(8))
    wanted = flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED, flow_pb2.VERDICT_UNKNOWN])
    mask = compile_verdict(wanted, Surroundings(EndpointTable()))(rows)
    assert mask.tolist() == [True, False, True, False, False, False, False, False]


def test_a_verdict_without_name_matches_nothing() -> None:
    wanted = flow_pb2.FlowFilter(verdict=[flow_pb2.Verdict.ValueType(1000)])
    mask = compile_verdict(wanted, Surroundings(EndpointTable()))(flow_rows(8, verdict=range(8)))
    assert not mask.any()
