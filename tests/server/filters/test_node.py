from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.filters.compiled import CompiledFilter
from palomar_server.surroundings import Surroundings
from palomar_server.table import Kind
from palomar_server.testing import event_row, flow_rows
from tests.server.filters.selecting import refusal, selected, view_in

ELSEWHERE = flow_pb2.Flow(node_name="far/other", node_labels=["zone=b"]).SerializeToString()
ROWS = flow_rows(2, message=[0, 1])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("node", [0]), ("default/", [0]), ("far/*", [1]), ("*", [0, 1]), ("x", [])],
)
def test_flows_are_this_nodes_unless_their_message_tells_another(
    pattern: str, expected: list[int]
) -> None:
    assert selected(ROWS, messages=[ELSEWHERE], node_name=[pattern]) == expected


@pytest.mark.parametrize(
    ("selector", "expected"), [("zone=a", [0]), ("zone", [0, 1]), ("zone=b", [1]), ("!zone", [])]
)
def test_so_are_labels(selector: str, expected: list[int]) -> None:
    assert selected(ROWS, messages=[ELSEWHERE], node_labels=[selector]) == expected


def test_what_is_no_flow_tells_of_no_node() -> None:
    rows = event_row(Kind.AGENT)
    assert selected(rows, messages=[b""], node_labels=["!zone"]) == [0]
    assert selected(rows, messages=[b""], node_labels=["zone=a"]) == []
    assert selected(rows, messages=[b""], node_name=["*"]) == []


def test_a_node_that_gets_another_name_is_asked_anew() -> None:
    surroundings = Surroundings(EndpointTable())
    encoder = FlowEncoder(surroundings, "default/node")
    wanted = flow_pb2.FlowFilter(node_name=["other"])
    found = CompiledFilter([wanted], [], surroundings, encoder)
    assert found.mask(view_in(flow_rows(1))).tolist() == [False]
    surroundings.apply({"node_name": "default/other"})
    assert found.mask(view_in(flow_rows(1))).tolist() == [True]


def test_what_is_no_pattern_is_refused() -> None:
    assert refusal(node_name=["a/b/c"]).startswith("whitelist[0].node_name: 'a/b/c' has more")
