from __future__ import annotations

import numpy as np
import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import EndpointTable
from palomar_server.filters.event_type import compile_event_type
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows

Type = flow_pb2.EventTypeFilter
ROWS = flow_rows(4, event_type=[1, 1, 4, 4], event_subtype=[0, 133, 0, 133])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([Type(type=1)], [0, 1]),
        ([Type(type=4, match_sub_type=True, sub_type=0)], [2]),
        ([Type(type=4, sub_type=133)], [2, 3]),
        ([Type(match_sub_type=True, sub_type=133)], [1, 3]),
        ([Type()], [0, 1, 2, 3]),
        ([Type(type=1, match_sub_type=True, sub_type=133), Type(type=4)], [1, 2, 3]),
        ([Type(type=130)], []),
        ([Type(type=-1), Type(type=257)], []),
        ([Type(match_sub_type=True, sub_type=389)], []),
    ],
)
def test_type_and_subtype_match_where_they_are_asked_for(
    wanted: list[Type], expected: list[int]
) -> None:
    flow_filter = flow_pb2.FlowFilter(event_type=wanted)
    predicate = compile_event_type(flow_filter, Surroundings(EndpointTable()))
    assert np.flatnonzero(predicate(ROWS)).tolist() == expected
