from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.errors import InvalidRequest
from palomar_server.filters.compiled import (
    ROWS_AT_ONCE_MAX,
    ROWS_AT_ONCE_MIN,
    CompiledFilter,
    FilterLimits,
)
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows, lost_message, lost_row, view_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from palomar_server.filters.predicate import Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View

FlowFilter = flow_pb2.FlowFilter
Experimental = FlowFilter.Experimental
DROPPED, FORWARDED = flow_pb2.DROPPED, flow_pb2.FORWARDED
ROWS = flow_rows(
    4,
    verdict=[FORWARDED, FORWARDED, DROPPED, DROPPED],
    source_port=[1, 2, 1, 2],
)


def compiled(
    whitelist: Sequence[FlowFilter], blacklist: Sequence[FlowFilter] = (), **options: Any
) -> CompiledFilter:
    surroundings = Surroundings(EndpointTable())
    encoder = FlowEncoder(surroundings, "default/node")
    return CompiledFilter(whitelist, blacklist, surroundings, encoder, **options)


def selected(whitelist: Sequence[FlowFilter], blacklist: Sequence[FlowFilter] = ()) -> list[int]:
    indices: list[int] = compiled(whitelist, blacklist).mask(view_of(ROWS)).nonzero()[0].tolist()
    return indices


def test_an_empty_whitelist_lets_all_pass() -> None:
    assert selected([]) == [0, 1, 2, 3]


def test_an_empty_filter_matches_everything() -> None:
    assert selected([FlowFilter()]) == [0, 1, 2, 3]
    assert selected([], [FlowFilter()]) == []
    assert selected([FlowFilter(experimental=Experimental())]) == [0, 1, 2, 3]


def test_the_fields_of_a_filter_must_all_match() -> None:
    assert selected([FlowFilter(verdict=[DROPPED], source_port=["1"])]) == [2]


def test_the_values_of_a_field_are_alternatives() -> None:
    assert selected([FlowFilter(verdict=[DROPPED, FORWARDED], source_port=["1"])]) == [0, 2]


def test_filters_of_a_list_are_alternatives() -> None:
    whitelist = [FlowFilter(verdict=[DROPPED]), FlowFilter(source_port=["1"])]
    assert selected(whitelist) == [0, 2, 3]


def test_the_blacklist_takes_away() -> None:
    port_1, dropped = FlowFilter(source_port=["1"]), FlowFilter(verdict=[DROPPED])
    assert selected([port_1], [dropped]) == [0]
    assert selected([], [dropped, port_1]) == [1]
    assert selected([], [FlowFilter(verdict=[DROPPED], source_port=["1"])]) == [0, 1, 3]


def test_the_blacklist_is_only_asked_of_what_the_whitelist_let_pass() -> None:
    view = view_of(ROWS)
    port_1 = FlowFilter(source_port=["1"])
    slow = FlowFilter(experimental=Experimental(cel_expression=["_flow.verdict == 2"]))
    assert compiled([port_1], [slow]).mask(view).nonzero()[0].tolist() == [0]
    assert view.flows_built == 2


def test_loss_notices_pass_every_filter() -> None:
    both = compiled([FlowFilter(verdict=[DROPPED])], [FlowFilter()])
    view = view_of(np.concatenate((ROWS, lost_row())), [lost_message()])
    assert both.mask(view).tolist() == [False] * 4 + [True]


def test_no_rows_have_an_empty_mask() -> None:
    assert compiled([FlowFilter(verdict=[DROPPED])]).mask(view_of(flow_rows(0))).tolist() == []


def test_an_error_names_the_filter_the_field_and_the_rule() -> None:
    for lists, where in (
        (([FlowFilter(), FlowFilter(source_pod=[""])], []), "whitelist[1].source_pod: '' is empty"),
        (([], [FlowFilter(source_ip=["x"])]), "blacklist[0].source_ip: 'x' is no IP address"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            selected(*lists)
        assert str(caught.value).startswith(where)


def test_more_than_allowed_is_refused() -> None:
    limits = FilterLimits(filters_max=2, values_max=3, expressions_max=1)
    two = [FlowFilter(source_port=["1", "2"]), FlowFilter(source_port=["3"])]
    compiled(two, limits=limits)
    with pytest.raises(InvalidRequest, match="3 filters are over 2"):
        compiled(two, [FlowFilter()], limits=limits)
    with pytest.raises(InvalidRequest, match="4 values in filters are over 3"):
        compiled([FlowFilter(source_port=["1"] * 4)], limits=limits)
    expressions = [FlowFilter(experimental=Experimental(cel_expression=["true"]))] * 2
    with pytest.raises(InvalidRequest, match="over 1"):
        compiled(expressions, limits=FilterLimits(expressions_max=1))
    patterns = [FlowFilter(http_url=["a"], dns_query=["b"]), FlowFilter(http_path=["c"])]
    with pytest.raises(InvalidRequest, match="3 regular expressions are over 2"):
        compiled(patterns, limits=FilterLimits(patterns_max=2))


def test_predicates_of_others_are_asked_of_what_the_fields_left() -> None:
    seen: list[int] = []

    def odd_port(view: View) -> Mask:
        seen.append(len(view))
        mask: Mask = view.column("source_port") % 2 == 1
        return mask

    def build(flow_filter: FlowFilter) -> list[Predicate]:
        return [odd_port] if flow_filter.verdict else []

    whitelist = [FlowFilter(verdict=[DROPPED])]
    view = view_of(ROWS)
    assert compiled(whitelist, build=build).mask(view).nonzero()[0].tolist() == [2]
    assert seen == [2]
    assert compiled([FlowFilter()], build=build).mask(view).all()


class StepClock:
    """Goes on by a time each look takes."""

    def __init__(self) -> None:
        self.look_s = 0.0
        self._now = 0.0

    def __call__(self) -> float:
        """Asked once before and once after a look."""
        self._now += self.look_s
        return self._now


def test_filters_that_columns_decide_take_many_rows_at_once() -> None:
    clock = StepClock()
    cheap = compiled([FlowFilter(verdict=[DROPPED])], clock=clock)
    clock.look_s = 10.0
    cheap.mask(view_of(ROWS))
    assert cheap.rows_at_once == ROWS_AT_ONCE_MAX


def test_others_take_as_many_as_their_looks_allow() -> None:
    clock = StepClock()
    slow = compiled([FlowFilter(source_label=["a"])], clock=clock)
    clock.look_s = 0.0001
    for _ in range(20):
        slow.mask(view_of(flow_rows(slow.rows_at_once)))
    assert slow.rows_at_once == ROWS_AT_ONCE_MAX
    clock.look_s = 0.3
    slow.mask(view_of(flow_rows(1_000)))
    assert slow.rows_at_once == ROWS_AT_ONCE_MIN
    before = slow.rows_at_once
    clock.look_s = 0.0
    slow.mask(view_of(flow_rows(before - 1)))
    assert slow.rows_at_once == before
    slow.mask(view_of(flow_rows(before)))
    assert slow.rows_at_once == 2 * before
    clock.look_s = 100.0
    slow.mask(view_of(flow_rows(4)))
    assert slow.rows_at_once == ROWS_AT_ONCE_MIN


def test_a_glance_rules_out_what_nothing_can_pass() -> None:
    forwarded = view_of(ROWS[:2])
    assert compiled([FlowFilter(verdict=[DROPPED], source_port=["1"])]).surely_none(forwarded)
    assert not compiled([FlowFilter(verdict=[DROPPED])]).surely_none(view_of(ROWS))
    assert not compiled([FlowFilter(verdict=[DROPPED]), FlowFilter()]).surely_none(forwarded)
    assert not compiled([]).surely_none(forwarded)
    with_loss = view_of(np.concatenate((ROWS[:2], lost_row())))
    assert not compiled([FlowFilter(verdict=[DROPPED])]).surely_none(with_loss)
