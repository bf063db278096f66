import pytest

from palomar.streams import EventStream, FlowStream
from palomar.target import parse_target
from palomar.testing import make_response
from palomar_proto.flow.flow_pb2 import LostEvent
from palomar_proto.observer.observer_pb2 import GetAgentEventsResponse, GetFlowsResponse


class EventCall(list[GetAgentEventsResponse]):
    """Answers of a call, and whether it was cancelled."""

    cancelled = False

    def cancel(self) -> bool:
        self.cancelled = True
        return True


class Call(list[GetFlowsResponse]):
    """The same for flows."""

    cancelled = False

    def cancel(self) -> bool:
        self.cancelled = True
        return True


def test_finished_stream_lets_go_of_its_call() -> None:
    call = Call([make_response()])
    stream = FlowStream(call, parse_target("h:1"))
    assert len(list(stream)) == 1
    assert call.cancelled


def test_abandoned_iteration_lets_go_of_its_call() -> None:
    call = Call([make_response(), make_response()])
    flows = iter(FlowStream(call, parse_target("h:1")))
    next(flows)
    del flows
    assert call.cancelled


def test_empty_responses_are_passed_over() -> None:
    empty = type(make_response())()
    assert list(FlowStream(Call([empty]), parse_target("h:1"))) == []


def test_error_of_a_callback_reaches_the_reader(loss: GetFlowsResponse) -> None:
    def fail(lost: LostEvent) -> None:
        raise KeyError(lost.num_events_lost)

    with pytest.raises(KeyError):
        list(FlowStream(Call([loss]), parse_target("h:1"), on_lost=fail))


def test_a_stream_of_events_yields_their_responses_and_lets_go() -> None:
    responses = [GetAgentEventsResponse(node_name="a"), GetAgentEventsResponse(node_name="b")]
    call = EventCall(responses)
    with EventStream(call, parse_target("h:1")) as stream:
        assert [response.node_name for response in stream] == ["a", "b"]
    assert call.cancelled
