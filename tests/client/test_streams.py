from palomar.streams import BatchStream, EventStream
from palomar.target import parse_target
from palomar_proto.observer.observer_pb2 import GetAgentEventsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch


class EventCall(list[GetAgentEventsResponse]):
    """Answers of a call, and whether it was cancelled."""

    cancelled = False

    def cancel(self) -> bool:
        self.cancelled = True
        return True


class BatchCall(list[FlowBatch]):
    """The same for batches."""

    cancelled = False

    def cancel(self) -> bool:
        self.cancelled = True
        return True


def test_a_stream_of_events_yields_their_responses_and_lets_go() -> None:
    responses = [GetAgentEventsResponse(node_name="a"), GetAgentEventsResponse(node_name="b")]
    call = EventCall(responses)
    with EventStream(call, parse_target("h:1")) as stream:
        assert [response.node_name for response in stream] == ["a", "b"]
    assert call.cancelled


def test_finished_stream_lets_go_of_its_call() -> None:
    call = BatchCall([FlowBatch(run_id=1)])
    assert [batch.run_id for batch in BatchStream(call, parse_target("h:1"))] == [1]
    assert call.cancelled


def test_abandoned_iteration_lets_go_of_its_call() -> None:
    call = BatchCall([FlowBatch(), FlowBatch()])
    batches = iter(BatchStream(call, parse_target("h:1")))
    next(batches)
    del batches
    assert call.cancelled
