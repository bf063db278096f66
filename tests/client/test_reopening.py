import pytest

from palomar.errors import InvalidRequest, PalomarError, ServerUnavailable
from palomar.reconnection import Outage, Reconnect
from palomar.recovery import Recovery
from palomar.reopening import (
    CallReopening,
    PlaceReopening,
    batch_reopening,
    event_reopening,
)
from palomar.target import parse_target
from palomar.testing import make_response
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsRequest,
    GetAgentEventsResponse,
    GetFlowsRequest,
)
from palomar_proto.palomar.v1.flow_batches_pb2 import BatchOptions, FlowBatch

TARGET = parse_target("h:1")
AT_ONCE = Reconnect(first_delay_s=0, delay_max_s=0)


def broken() -> PalomarError:
    error = ServerUnavailable("gone")
    error.status = "UNAVAILABLE"
    return error


def test_each_call_is_of_the_request_that_is_due() -> None:
    asked: list[GetFlowsRequest] = []
    reopening = batch_reopening(asked.append, GetFlowsRequest(follow=True), TARGET, AT_ONCE)
    reopening.open()
    reopening.answered()
    assert reopening.take(FlowBatch(responses=[make_response()], sequences=[3], resume_token=b"t"))
    assert reopening.delay_s(broken()) == 0
    reopening.open()
    options = BatchOptions()
    assert asked[0] == GetFlowsRequest(follow=True)
    assert asked[1].extensions.Unpack(options)
    assert options.resume_token == b"t"


def test_events_are_taken_once() -> None:
    reopening = event_reopening(
        lambda request: request, GetAgentEventsRequest(follow=True), TARGET, AT_ONCE
    )
    event = GetAgentEventsResponse()
    event.time.seconds = 5
    assert reopening.take(event)
    assert reopening.delay_s(broken()) == 0
    assert reopening.open().since.seconds == 5
    assert not reopening.take(event)


def test_errors_that_will_not_go_away_are_left_to_the_reader() -> None:
    outages: list[Outage] = []
    request = GetFlowsRequest(follow=True)
    recovery = Recovery(request, AT_ONCE, on_reconnect=outages.append)
    reopening: CallReopening[GetFlowsRequest, object, object] = CallReopening(
        lambda asked: asked, recovery, lambda _: True, TARGET
    )
    assert reopening.delay_s(InvalidRequest("no such filter")) is None
    assert outages == []


@pytest.mark.parametrize("reconnect", [None, Reconnect(attempts_max=0)])
def test_without_attempts_there_is_no_delay(reconnect: Reconnect | None) -> None:
    asked: list[GetFlowsRequest] = []
    reopening = batch_reopening(asked.append, GetFlowsRequest(follow=True), TARGET, reconnect)
    assert reopening.delay_s(broken()) is None


def test_who_knows_the_place_goes_on_as_long_as_it_moves() -> None:
    places, opened = [0], []
    reopening = PlaceReopening(
        lambda: opened.append(places[-1]), TARGET, AT_ONCE, lambda: places[-1]
    )
    for place in range(1, 20):
        places.append(place)
        reopening.open()
        reopening.answered()
        assert reopening.take("anything")
        assert reopening.delay_s(broken()) is not None
    delays = [reopening.delay_s(broken()) for _ in range(6)]
    assert delays[-1] is None
    assert None not in delays[:3]
    assert opened == list(range(1, 20))


def test_who_follows_goes_on_while_the_server_answers() -> None:
    told: list[Outage] = []
    reopening = PlaceReopening(lambda: None, TARGET, AT_ONCE, on_reconnect=told.append)
    for _ in range(10):
        reopening.open()
        assert reopening.delay_s(broken()) == 0
    assert [outage.attempt for outage in told] == list(range(1, 11))
    reopening.answered()
    assert reopening.delay_s(broken()) == 0
    refused = InvalidRequest("no")
    refused.status = "NOT_FOUND"
    assert reopening.delay_s(refused) is None


def test_nobody_goes_on_who_does_not_want_to() -> None:
    reopening = PlaceReopening(lambda: None, TARGET, None)
    reopening.open()
    reopening.answered()
    assert reopening.delay_s(broken()) is None
