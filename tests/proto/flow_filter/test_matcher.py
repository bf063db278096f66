"""Filters and lists of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter import FIELDS, FilterError, compile_lists, parse_filter

DROPPED = flow_pb2.Flow(verdict=flow_pb2.DROPPED, source=flow_pb2.Endpoint(namespace="shop"))
FORWARDED = flow_pb2.Flow(verdict=flow_pb2.FORWARDED)
LOST = flow_pb2.LostEvent()

IS_DROPPED = flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED])
FROM_SHOP = flow_pb2.FlowFilter(source_pod=["shop/"])
BOTH = flow_pb2.FlowFilter(verdict=[flow_pb2.FORWARDED], source_pod=["shop/"])
ANY = flow_pb2.FlowFilter()

STRING_FIELDS = [
    field.name
    for field in flow_pb2.FlowFilter.DESCRIPTOR.fields
    if field.is_repeated and field.type == field.TYPE_STRING
]


def test_every_field_of_a_filter_has_its_rule() -> None:
    assert set(FIELDS) == set(flow_pb2.FlowFilter.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(
    ("whitelist", "blacklist", "passing"),
    [
        ([], [], [DROPPED, FORWARDED, LOST]),
        ([ANY], [], [DROPPED, FORWARDED, LOST]),
        ([], [ANY], []),
        ([IS_DROPPED], [], [DROPPED]),
        ([], [IS_DROPPED], [FORWARDED, LOST]),
        ([IS_DROPPED], [FROM_SHOP], []),
        ([BOTH], [], []),
        ([BOTH, IS_DROPPED], [], [DROPPED]),
    ],
)
def test_lists_are_alternatives_of_filters_and_these_of_all_fields(
    whitelist: list[flow_pb2.FlowFilter],
    blacklist: list[flow_pb2.FlowFilter],
    passing: list[object],
) -> None:
    lists = compile_lists(whitelist, blacklist)
    assert [event for event in (DROPPED, FORWARDED, LOST) if lists.matches(event)] == passing


def test_first_wrong_filter_is_told_the_whitelist_before_the_blacklist() -> None:
    with pytest.raises(FilterError, match="'w'"):
        compile_lists(
            [flow_pb2.FlowFilter(source_ip=["w"])], [flow_pb2.FlowFilter(source_ip=["b"])]
        )


def test_fields_are_parsed_in_the_order_of_evaluation() -> None:
    given = flow_pb2.FlowFilter(source_pod=["shop/"], verdict=[flow_pb2.DROPPED])
    fields = parse_filter(given)
    assert list(fields) == ["verdict", "source_pod"]
    assert fields["verdict"].parsed == {flow_pb2.DROPPED}
    assert fields["source_pod"].matches(DROPPED)


@settings(deadline=None)
@given(st.sampled_from(STRING_FIELDS), st.lists(st.text(max_size=40), min_size=1, max_size=3))
def test_any_text_is_a_value_or_refused_by_name(field: str, values: list[str]) -> None:
    flow_filter = flow_pb2.FlowFilter()
    getattr(flow_filter, field).extend(values)
    try:
        lists = compile_lists([flow_filter], [])
    except FilterError as error:
        assert error.field == field  # noqa: PT017 - either way is right
        return
    assert lists.matches(DROPPED) in (True, False)


def test_runtimes_are_loaded_when_they_are_needed() -> None:
    program = (
        "import sys, palomar_proto.flow_filter\n"
        "sys.exit(not {'re2', 'cel_expr_python', 'numpy'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
