import grpc
import pytest

import palomar
from palomar.flow_calls import FlowCalls
from palomar.flow_streams import FlowStream
from palomar.streams import Call
from palomar.target import parse_target
from palomar.testing import FakeObserver, make_response
from palomar_proto.flow.flow_pb2 import HUBBLE_RING_BUFFER, LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import Completeness, FlowBatch

FLOWS = [make_response(Summary=str(number)) for number in range(6)]
OWN_LOSS = GetFlowsResponse(
    lost_events=LostEvent(source=HUBBLE_RING_BUFFER, num_events_lost=5), node_name="default/node-1"
)


class BatchCall(list[FlowBatch]):
    """Answers of a call, and whether it was cancelled."""

    cancelled = False

    def cancel(self) -> bool:
        self.cancelled = True
        return True


def stream_of(call: Call[FlowBatch], **callbacks: object) -> FlowStream:
    def no_flows(_: GetFlowsRequest) -> Call[GetFlowsResponse]:
        raise AssertionError("single flows were asked for")

    calls = FlowCalls(lambda _: call, no_flows)
    return FlowStream(calls, GetFlowsRequest(), parse_target("h:1"), **callbacks)  # type: ignore[arg-type]


def test_abandoned_iteration_lets_go_of_its_call() -> None:
    call = BatchCall([FlowBatch(responses=FLOWS, sequences=range(6))])
    flows = iter(stream_of(call))
    next(flows)
    del flows
    assert call.cancelled


def test_empty_responses_are_passed_over() -> None:
    call = BatchCall([FlowBatch(responses=[GetFlowsResponse()], sequences=[0]), FlowBatch()])
    assert list(stream_of(call)) == []


def test_error_of_a_callback_reaches_the_reader(loss: GetFlowsResponse) -> None:
    def fail(lost: LostEvent) -> None:
        raise KeyError(lost.num_events_lost)

    call = BatchCall([FlowBatch(responses=[loss], sequences=[0])])
    with pytest.raises(KeyError):
        list(stream_of(call, on_lost=fail))


def test_a_restart_is_remembered() -> None:
    first = FlowBatch(completeness=Completeness(restarted=True))
    stream = stream_of(BatchCall([first, FlowBatch(completeness=Completeness(end_reached=True))]))
    assert not stream.restarted
    assert list(stream) == []
    assert stream.restarted
    assert stream.completeness == Completeness(end_reached=True)


def test_flows_come_in_batches_in_one_call() -> None:
    with FakeObserver(FLOWS) as server, palomar.Client(server.target) as client:
        assert [flow.Summary for flow in client.observe()] == ["0", "1", "2", "3", "4", "5"]
        assert [flow.Summary for flow in client.observe()] == ["0", "1", "2", "3", "4", "5"]
    assert server.calls == ["GetFlowBatches", "GetFlowBatches"]


def test_a_server_without_batches_is_asked_once_only() -> None:
    with FakeObserver(FLOWS, batched=False) as server, palomar.Client(server.target) as client:
        for _ in range(2):
            stream = client.observe()
            assert [flow.Summary for flow in stream] == ["0", "1", "2", "3", "4", "5"]
            assert stream.resume_token == b""
            assert stream.position is None
            assert stream.completeness is None
    assert server.calls == ["GetFlows", "GetFlows"]
    assert client._flow_calls.batched is False


def test_an_unsupported_request_does_not_hide_batches() -> None:
    refused = (grpc.StatusCode.UNIMPLEMENTED, "no such filter")
    with FakeObserver(error=refused) as server, palomar.Client(server.target) as client:
        with pytest.raises(palomar.Unsupported, match="no such filter"):
            list(client.observe())
        assert client._flow_calls.batched is None


def test_closing_before_the_other_call_ends_it_too() -> None:
    with (
        FakeObserver(FLOWS, batched=False, hold=True) as server,
        palomar.Client(server.target) as client,
    ):
        stream = client.observe(follow=True)
        stream.close()
        assert list(stream) == []


@pytest.mark.parametrize("count", range(7))
def test_a_stream_left_anywhere_goes_on_there(count: int) -> None:
    with FakeObserver(FLOWS) as server, palomar.Client(server.target) as client:
        stream = client.observe()
        flows = iter(stream)
        for _ in range(count):
            next(flows)
        rest = client.observe(resume=stream.resume_token)
        expected = ["0", "1", "2", "3", "4", "5"][count:]
        assert [flow.Summary for flow in rest] == expected
        assert not list(client.observe(resume=rest.resume_token))
        position = stream.position
    assert position == (palomar.Position("default/node-1", 1, count - 1) if count else None)


def test_a_stream_may_be_left_again_and_again() -> None:
    read, token = [], b""
    with FakeObserver(FLOWS) as server, palomar.Client(server.target) as client:
        for _ in FLOWS:
            stream = client.observe(resume=token)
            read.append(next(iter(stream)).Summary)
            token = stream.resume_token
    assert read == ["0", "1", "2", "3", "4", "5"]


def test_the_token_counts_notices_that_were_read(loss: GetFlowsResponse) -> None:
    answers = [FLOWS[0], loss, FLOWS[1], FLOWS[2]]
    with FakeObserver(answers) as server, palomar.Client(server.target) as client:
        stream = client.observe()
        flows = iter(stream)
        assert [next(flows).Summary for _ in range(2)] == ["0", "1"]
        assert stream.lost_events == 7
        rest = client.observe(resume=stream.resume_token)
        assert [flow.Summary for flow in rest] == ["2"]
        assert rest.lost_events == 0


def test_responses_can_be_left_and_resumed_too(loss: GetFlowsResponse) -> None:
    answers = [FLOWS[0], loss, FLOWS[1]]
    with FakeObserver(answers) as server, palomar.Client(server.target) as client:
        stream = client.observe()
        responses = stream.responses()
        assert [next(responses) for _ in range(2)] == answers[:2]
        rest = client.observe(resume=stream.resume_token)
        assert list(rest.responses()) == answers[2:]


def test_a_server_without_batches_cannot_resume() -> None:
    with (
        FakeObserver(FLOWS, batched=False) as server,
        palomar.Client(server.target) as client,
        pytest.raises(palomar.Unsupported),
    ):
        list(client.observe(resume=b"token"))


def test_what_the_stream_itself_lost_is_counted_and_told() -> None:
    losses: list[LostEvent] = []
    with FakeObserver([FLOWS[0], OWN_LOSS]) as server, palomar.Client(server.target) as client:
        stream = client.observe(on_lost=losses.append)
        assert len(list(stream)) == 1
        assert stream.lost_events == 5
        assert losses == [OWN_LOSS.lost_events]
        (notice, flow) = client.observe().responses()
    assert flow == FLOWS[0]
    assert notice.lost_events == OWN_LOSS.lost_events
    assert notice.node_name == "default/node-1"


async def test_the_same_holds_for_asyncio(loss: GetFlowsResponse) -> None:
    answers = [*FLOWS[:3], loss, OWN_LOSS]
    with FakeObserver(answers) as server:
        async with palomar.AsyncClient(server.target) as client:
            stream = client.observe()
            flows = aiter(stream)
            assert [(await anext(flows)).Summary for _ in range(2)] == ["0", "1"]
            rest = client.observe(resume=stream.resume_token)
            assert [flow.Summary async for flow in rest] == ["2"]
            assert rest.lost_events == 12
            whole = [response async for response in client.observe().responses()]
            assert whole[1:] == answers[:4]
            assert stream.position == palomar.Position("default/node-1", 1, 1)
    assert set(server.calls) == {"GetFlowBatches"}


async def test_asyncio_falls_back_to_single_flows() -> None:
    with FakeObserver(FLOWS, batched=False) as server:
        async with palomar.AsyncClient(server.target) as client:
            for _ in range(2):
                assert len([flow async for flow in client.observe()]) == 6
            with pytest.raises(palomar.Unsupported):
                [flow async for flow in client.observe(resume=b"token")]
    assert server.calls == ["GetFlows", "GetFlows"]
