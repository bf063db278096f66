from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.table import Kind
from palomar_server.testing import event_row, flow_rows
from tests.server.filters.selecting import compiled, refusal, selected, view_in

Experimental = flow_pb2.FlowFilter.Experimental


@pytest.mark.parametrize(
    ("expressions", "expected"),
    [
        (["_flow.verdict == Verdict.DROPPED"], [1]),
        (["false", "_flow.l4.TCP.source_port == 7u"], [0]),
        (["_flow.source.labels[9] == 'x'"], []),
    ],
)
def test_expressions_look_at_the_whole_flow(expressions: list[str], expected: list[int]) -> None:
    rows = flow_rows(2, verdict=[flow_pb2.FORWARDED, flow_pb2.DROPPED], source_port=[7, 8])
    assert selected(rows, experimental=Experimental(cel_expression=expressions)) == expected


def test_only_rows_that_the_other_fields_leave_are_built() -> None:
    rows = flow_rows(100, source_port=range(100))
    view = view_in(rows)
    found = compiled(source_port=["7", "8"], experimental=Experimental(cel_expression=["true"]))
    assert found.mask(view).nonzero()[0].tolist() == [7, 8]
    assert view.flows_built == 2


def test_what_is_no_flow_is_asked_too() -> None:
    rows = event_row(Kind.AGENT)
    for text, expected in (("true", [0]), ("_flow.verdict == Verdict.DROPPED", [])):
        experimental = Experimental(cel_expression=[text])
        assert selected(rows, messages=[b""], experimental=experimental) == expected


def test_what_does_not_compile_is_refused() -> None:
    text = refusal(experimental=Experimental(cel_expression=["_flow.nope"]))
    assert text.startswith("whitelist[0].experimental.cel_expression: '_flow.nope' is no CEL")
