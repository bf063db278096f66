import struct

import pytest

from palomar.errors import ServerError
from palomar.flow_place import FlowPlace, Position
from palomar.testing import make_response
from palomar_proto.flow.flow_pb2 import LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch

FLOW = make_response()
LOSS = GetFlowsResponse(lost_events=LostEvent(num_events_lost=3))
FIRST = FlowBatch(
    responses=[FLOW, LOSS, FLOW],
    sequences=[4, 7, 8],
    run_id=5,
    node_name="c/n",
    resume_token=b"first",
)
EMPTY = FlowBatch(resume_token=b"empty")


def test_nothing_is_known_before_the_first_batch() -> None:
    place = FlowPlace()
    assert place.token() == b""
    assert place.position() is None


def test_before_the_first_batch_the_token_is_the_one_resumed() -> None:
    assert FlowPlace(b"given").token() == b"given"


def test_within_a_batch_the_token_says_what_is_there_of_it() -> None:
    place = FlowPlace(b"given")
    left = iter(list(FIRST.responses))
    place.enter(FIRST, left)
    assert place.token() == b"given"
    assert place.position() is None
    next(left)
    # A notice is no flow.
    assert place.token() == b"first" + struct.pack(">QQ", 4, 1)
    assert place.position() == Position("c/n", 5, 4)
    next(left)
    assert place.token() == b"first" + struct.pack(">QQ", 7, 1)
    next(left)
    assert place.token() == b"first"
    assert place.position() == Position("c/n", 5, 8)


def test_a_batch_without_responses_moves_the_token_on() -> None:
    place = FlowPlace()
    left = iter(list(FIRST.responses))
    place.enter(FIRST, left)
    list(left)
    place.enter(EMPTY, iter([]))
    assert place.token() == b"empty"
    assert place.position() == Position("c/n", 5, 8)


def test_a_batch_that_does_not_say_where_its_responses_stand_is_refused() -> None:
    with pytest.raises(ServerError, match="1 responses with 0 positions"):
        FlowPlace().enter(FlowBatch(responses=[FLOW]), iter([FLOW]))


def test_a_batch_without_a_token_leaves_the_one_before() -> None:
    place = FlowPlace(b"given")
    left = iter([FLOW, FLOW])
    place.enter(FlowBatch(responses=[FLOW, FLOW], sequences=[1, 2]), left)
    next(left)
    assert place.token() == b"given"
