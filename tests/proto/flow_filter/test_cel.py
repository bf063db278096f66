"""CEL expressions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.cel import (
    EXPRESSION_CHARACTERS_MAX,
    EXPRESSIONS_MAX,
    parse_cel_expressions,
)
from palomar_proto.flow_filter.error import FilterError

TEN = "[1,2,3,4,5,6,7,8,9,10]"
FIELD = "experimental.cel_expression"
FLOW = flow_pb2.Flow(
    verdict=flow_pb2.DROPPED,
    source=flow_pb2.Endpoint(namespace="shop", labels=["k8s:app=cart", "k8s:x"], identity=7),
    l4=flow_pb2.Layer4(TCP=flow_pb2.TCP(destination_port=80)),
)


def matches(*sources: str, flow: flow_pb2.Flow | None = FLOW) -> bool:
    return parse_cel_expressions(FIELD, sources).matches(flow)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("_flow.verdict == Verdict.DROPPED", True),
        ("_flow.verdict == flow.Verdict.DROPPED", True),
        ("_flow.verdict == 2", True),
        ("_flow.source.namespace == 'shop' && _flow.l4.TCP.destination_port < 1024u", True),
        ("_flow.l7.http.method == ''", True),
        ("has(_flow.l7)", False),
        ("'k8s:x' in _flow.source.labels", True),
        ("_flow.source.labels.exists_one(l, l.startsWith('k8s:app='))", True),
        ("_flow.source.labels.existsOne(l, l.contains('existsOne('))", False),
        ("'.existsOne(' == '.exists' + 'One('", True),
        ("_flow.is_reply == null", True),
        ("!(_flow.is_reply == true)", True),
        ("true // as it is", True),
    ],
)
def test_expression_is_true_of_a_flow_or_not(source: str, *, expected: bool) -> None:
    assert matches(source) is expected


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("", "is no CEL expression"),
        ("_flow.nope", "is no CEL expression"),
        ("_flow.verdict ==", "is no CEL expression"),
        ("_flow.l4.TCP.destination_port == 80", "is no CEL expression"),
        ("_flow.?source.namespace == 'x'", "is no CEL expression"),
        ("'A'.lowerAscii() == 'a'", "is no CEL expression"),
        ("1", "is of the type INT, not bool"),
        ("dyn(true)", "not bool"),
        ("_flow", "is of the type flow.Flow, not bool"),
        ("_flow.is_reply", "is a bool or null"),
        ("_flow.is_reply // x", "is a bool or null"),
        ("true" + " " * EXPRESSION_CHARACTERS_MAX, "characters long"),
        ("(" * 300 + "true" + ")" * 300, "is no CEL expression"),
    ],
)
def test_what_is_no_bool_expression_is_refused(source: str, rule: str) -> None:
    with pytest.raises(FilterError, match=rule):
        parse_cel_expressions(FIELD, [source])


def test_too_many_expressions_are_refused() -> None:
    with pytest.raises(FilterError, match=f"expressions are over {EXPRESSIONS_MAX}"):
        parse_cel_expressions(FIELD, ["true"] * (EXPRESSIONS_MAX + 1))


def test_expressions_are_alternatives_until_one_fails() -> None:
    assert matches("false", "true")
    assert matches("true", "1/0 == 1")
    assert not matches("1/0 == 1", "true")


@pytest.mark.parametrize(
    "source",
    [
        "_flow.source.labels[99] == 'x'",
        "'x'.matches('(')",
        "!_flow.is_reply",
        "timestamp('x') < _flow.time",
        # Over the budget of steps.
        f"{TEN}.all(a, {TEN}.all(b, {TEN}.all(c, {TEN}.all(d, true))))",
    ],
)
def test_what_cannot_be_evaluated_matches_nothing(source: str) -> None:
    assert not matches(source)


def test_an_event_that_is_no_flow_is_an_empty_one_and_yet_none() -> None:
    assert matches("true", flow=None)
    assert matches("!_flow.IP.encrypted && _flow.verdict == 0", flow=None)
    assert matches("_flow.time < timestamp('2024-03-05T10:21:00Z')", flow=None)
    assert not matches("flow.Flow{} == _flow", flow=None)
    assert matches("flow.Flow{} == _flow", flow=flow_pb2.Flow())


@settings(deadline=None)
@given(
    st.text(max_size=60) | st.text(st.sampled_from("_flow.vedict=12()[]'\"&|!<>+ "), max_size=40)
)
def test_a_text_is_an_expression_or_refused(source: str) -> None:
    try:
        wanted = parse_cel_expressions(FIELD, [source])
    except FilterError:
        return
    assert wanted.matches(FLOW) in (True, False)
