from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from palomar_proto.flow import flow_pb2
from palomar_server import filters
from palomar_server.endpoints import EndpointTable
from palomar_server.errors import InvalidRequest, Unsupported
from palomar_server.filters.compiled import FIELD_FILTERS, CompiledFilter, FilterLimits
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows, lost_row

if TYPE_CHECKING:
    from collections.abc import Sequence

FlowFilter = flow_pb2.FlowFilter
DROPPED, FORWARDED = flow_pb2.DROPPED, flow_pb2.FORWARDED
ROWS = flow_rows(
    4,
    verdict=[FORWARDED, FORWARDED, DROPPED, DROPPED],
    source_port=[1, 2, 1, 2],
)


def selected(whitelist: Sequence[FlowFilter], blacklist: Sequence[FlowFilter] = ()) -> list[int]:
    compiled = CompiledFilter(whitelist, blacklist, Surroundings(EndpointTable()))
    return np.flatnonzero(compiled.mask(ROWS)).tolist()


def test_an_empty_whitelist_lets_all_pass() -> None:
    assert selected([]) == [0, 1, 2, 3]


def test_an_empty_filter_matches_everything() -> None:
    assert selected([FlowFilter()]) == [0, 1, 2, 3]
    assert selected([], [FlowFilter()]) == []


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


def test_loss_notices_pass_every_filter() -> None:
    compiled = CompiledFilter(
        [FlowFilter(verdict=[DROPPED])], [FlowFilter()], Surroundings(EndpointTable())
    )
    assert compiled.mask(np.concatenate((ROWS, lost_row()))).tolist() == [False] * 4 + [True]


def test_no_rows_have_an_empty_mask() -> None:
    compiled = CompiledFilter([FlowFilter(verdict=[DROPPED])], [], Surroundings(EndpointTable()))
    assert compiled.mask(flow_rows(0)).tolist() == []


SERVED: dict[str, list[Any]] = {
    "verdict": [DROPPED],
    "event_type": [flow_pb2.EventTypeFilter(type=4)],
    "traffic_direction": [flow_pb2.EGRESS],
    "reply": [True],
    "protocol": ["tcp"],
    "source_port": ["1"],
    "destination_port": ["1"],
    "source_pod": ["a"],
    "destination_pod": ["a"],
    "source_ip": ["::1"],
    "destination_ip": ["::1"],
}


def test_every_served_field_is_compiled_and_every_other_is_refused_by_name() -> None:
    assert set(SERVED) == set(FIELD_FILTERS)
    for field in FlowFilter.DESCRIPTOR.fields:
        other = FlowFilter()
        value = getattr(other, field.name)
        if field.name in SERVED:
            value.extend(SERVED[field.name])
            selected([other])
            continue
        if field.message_type is not None and field.is_repeated:
            value.add()
        elif field.is_repeated:
            value.append("x" if field.cpp_type == field.CPPTYPE_STRING else 1)
        else:
            value.SetInParent()
        for white, black in (([other], []), ([], [other])):
            with pytest.raises(Unsupported, match=rf"list\[0\]\.{field.name}: "):
                selected(white, black)


def test_a_refusal_names_the_filter_and_what_is_served() -> None:
    with pytest.raises(Unsupported) as caught:
        selected([FlowFilter(), FlowFilter(uuid=["x"])])
    assert str(caught.value).startswith("whitelist[1].uuid: this server does not filter by uuid")
    assert all(name in str(caught.value) for name in FIELD_FILTERS)


def test_a_served_field_beside_one_that_is_not_is_no_excuse() -> None:
    with pytest.raises(Unsupported):
        selected([FlowFilter(verdict=[DROPPED], node_name=["x"])])


def test_every_module_of_the_folder_serves_a_field() -> None:
    modules = {path.stem for path in Path(filters.__path__[0]).glob("[a-z]*.py")}
    fields = {name.removeprefix("source_").removeprefix("destination_") for name in FIELD_FILTERS}
    assert modules - {"compiled", "predicate"} == fields


def test_more_filters_or_values_than_allowed_are_refused() -> None:
    surroundings = Surroundings(EndpointTable())
    limits = FilterLimits(filters_max=2, values_max=3)
    two = [FlowFilter(source_port=["1", "2"]), FlowFilter(source_port=["3"])]
    CompiledFilter(two, [], surroundings, limits)
    with pytest.raises(InvalidRequest, match="3 filters are over 2"):
        CompiledFilter(two, [FlowFilter()], surroundings, limits)
    with pytest.raises(InvalidRequest, match="4 values in filters are over 3"):
        CompiledFilter([FlowFilter(source_port=["1"] * 4)], [], surroundings, limits)
