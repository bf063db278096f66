from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import compiled, view_in

ENCODER = FlowEncoder(Surroundings(EndpointTable()), "default/node", run_id=1)
OTHER_RUN = FlowEncoder(Surroundings(EndpointTable()), "default/node", run_id=2)
FIRST = (1 << 48) - 2


@pytest.mark.parametrize(
    ("uuids", "expected"),
    [
        ([ENCODER.uuid(FIRST)], [0]),
        ([ENCODER.uuid(FIRST + 2), ENCODER.uuid(FIRST + 1)], [1, 2]),
        ([ENCODER.uuid(FIRST - 1), ENCODER.uuid(FIRST + 4)], []),
        ([OTHER_RUN.uuid(FIRST)], []),
        ([ENCODER.uuid(FIRST).upper()], []),
        (["", "x", "-" * 36, "0" * 36], []),
    ],
)
def test_events_match_by_the_uuid_that_they_are_sent_with(
    uuids: list[str], expected: list[int]
) -> None:
    mask = compiled(uuid=uuids).mask(view_in(flow_rows(4), first=FIRST))
    assert mask.nonzero()[0].tolist() == expected


def test_a_message_may_bring_its_own() -> None:
    messages = [
        flow_pb2.Flow(uuid="own").SerializeToString(),
        flow_pb2.Flow(Summary="none").SerializeToString(),
    ]
    view = view_in(flow_rows(2, message=[1, 2]), messages=messages)
    assert compiled(uuid=["own"]).mask(view).tolist() == [True, False]
    assert compiled(uuid=[ENCODER.uuid(0)]).mask(view).tolist() == [False, False]
    assert compiled(uuid=[ENCODER.uuid(1)]).mask(view).tolist() == [False, True]


def test_events_of_a_batch_have_none_yet() -> None:
    view = view_in(flow_rows(2), in_ring=False)
    assert compiled(uuid=[ENCODER.uuid(0)]).mask(view).tolist() == [False, False]
