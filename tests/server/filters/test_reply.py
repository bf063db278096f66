from __future__ import annotations

import numpy as np
import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import EndpointTable
from palomar_server.filters.reply import compile_reply
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows

ROWS = flow_rows(
    6,
    is_reply=[1, 0, -1, 1, 0, -1],
    verdict=[flow_pb2.FORWARDED] * 3 + [flow_pb2.DROPPED] * 3,
)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [([True], [0, 3]), ([False], [1, 4, 5]), ([True, False], [0, 1, 3, 4, 5])],
)
def test_an_unknown_reply_flag_matches_only_for_drops_and_as_no_reply(
    wanted: list[bool], expected: list[int]
) -> None:
    predicate = compile_reply(flow_pb2.FlowFilter(reply=wanted), Surroundings(EndpointTable()))
    assert np.flatnonzero(predicate(ROWS)).tolist() == expected
