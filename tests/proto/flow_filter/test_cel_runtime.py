"""The runtime of CEL."""

from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter import cel_runtime

FLOW = flow_pb2.Flow(uuid="abc", source=flow_pb2.Endpoint(labels=["k8s:app=cart", "k8s:x"]))


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("_flow.uuid.matches('^a.c$')", True),
        ("matches(_flow.uuid, 'z')", False),
        ("_flow.source.labels.exists(l, l . matches ('app='))", True),
        ("[1].exists(matches, matches == 1)", True),
        (r"'\'.matches(' == '\'.match' + 'es('", True),
        ("'''a' .matches(''' == 'a'", False),
        ("_flow.uuid.matches('(?=a)')", None),
        ("_flow.uuid.matches('(?=a)') || true", True),
        ("_flow.uuid.matches('" + "a" * 2_000 + "')", None),
        (r"_flow.uuid.matches('\\pL{100}')", None),
        (r"_flow.uuid.matches('\\C')", None),
    ],
)
def test_patterns_are_those_of_all_filters(source: str, *, value: bool | None) -> None:
    cel_runtime.check(source)
    assert cel_runtime.evaluate(source, FLOW) is value


def test_an_evaluation_may_need_a_few_new_patterns_only() -> None:
    few = [f"'few{number}'" for number in range(cel_runtime.NEW_PATTERNS_MAX)]
    source = f"[{', '.join(few)}].exists(p, _flow.uuid.matches(p))"
    assert cel_runtime.evaluate(source, FLOW) is False
    many = [f"'many{number}'" for number in range(cel_runtime.NEW_PATTERNS_MAX + 1)]
    source = f"[{', '.join(many)}].exists(p, _flow.uuid.matches(p))"
    assert cel_runtime.evaluate(source, FLOW) is None
    # What was compiled is kept.
    assert cel_runtime.evaluate(source, FLOW) is False


def test_what_is_wrong_is_told_in_a_line() -> None:
    with pytest.raises(ValueError, match=r"^is no CEL expression: .*undefined") as error:
        cel_runtime.check("_flow.nope")
    assert "\n" not in str(error.value)
