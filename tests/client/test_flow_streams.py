import asyncio
import threading

import grpc
import pytest

import palomar
from palomar.flow_calls import FlowCalls
from palomar.flow_streams import FlowStream
from palomar.reconnection import Reconnect
from palomar.streams import Call
from palomar.target import parse_target
from palomar.testing import FakeObserver, make_response
from palomar_proto.flow.flow_pb2 import HUBBLE_RING_BUFFER, LostEvent
from palomar_proto.observer.observer_pb2 import GetFlowsRequest, GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import Completeness, FlowBatch
from tests.client.cable import Cable

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


QUICK = Reconnect(first_delay_s=0.01, delay_max_s=0.05)
NEVER_MIND = Reconnect(first_delay_s=1000, delay_max_s=1000)


def summaries(start: int, end: int) -> list[GetFlowsResponse]:
    """Flows a second apart."""
    first_s = 1_709_634_000
    responses = []
    for number in range(start, end):
        response = make_response(Summary=str(number))
        response.time.seconds = response.flow.time.seconds = first_s + number
        responses.append(response)
    return responses


@pytest.mark.parametrize("batched", [True, False])
def test_a_follower_that_is_cut_goes_on_where_it_was(batched: bool) -> None:  # noqa: FBT001
    script = summaries(0, 3)
    outages: list[palomar.Outage] = []
    with (
        FakeObserver(script, batched=batched, hold=True) as server,
        Cable(server.target) as cable,
        palomar.Client(cable.target, reconnect=QUICK) as client,
    ):
        stream = client.observe(follow=True, last=3, on_reconnect=outages.append)
        flows = iter(stream)
        assert [next(flows).Summary for _ in range(3)] == ["0", "1", "2"]
        script += summaries(3, 5)
        cable.unplug()
        threading.Timer(0.1, cable.plug).start()
        assert [next(flows).Summary for _ in range(2)] == ["3", "4"]
        script += summaries(5, 6)
        cable.cut()
        assert next(flows).Summary == "5"
        assert [gap.may_miss_flows for gap in stream.gaps] == [False, False]
        assert [gap.lost_events for gap in stream.gaps] == [0, 0]
        stream.close()
        assert list(flows) == []
    assert outages[0].attempt == 1
    again = server.requests[-1]
    assert again.follow
    if not batched:
        assert again.number == 0
        assert again.since.seconds == script[0].time.seconds  # what came first, not 5 s before


def test_a_server_without_memory_leaves_a_gap_that_is_told() -> None:
    script = summaries(0, 3)
    gaps: list[palomar.Gap] = []
    with (
        FakeObserver(script, batched=False, hold=True) as server,
        Cable(server.target) as cable,
        palomar.Client(cable.target, reconnect=QUICK) as client,
        client.observe(follow=True, on_gap=gaps.append) as stream,
    ):
        flows = iter(stream)
        assert [next(flows).Summary for _ in range(3)] == ["0", "1", "2"]
        script[:] = summaries(5, 7)
        cable.cut()
        assert [next(flows).Summary for _ in range(2)] == ["5", "6"]
        assert stream.gaps == tuple(gaps)
    (gap,) = gaps
    assert gap.may_miss_flows
    assert gap.nodes == ("default/node-1",)
    assert "flows of default/node-1 may be missing" in str(gap)


def test_without_a_policy_a_cut_is_an_error() -> None:
    with (
        FakeObserver(FLOWS, hold=True) as server,
        Cable(server.target) as cable,
        palomar.Client(cable.target, reconnect=None) as client,
    ):
        flows = iter(client.observe(follow=True))
        for _ in FLOWS:
            next(flows)
        cable.cut()
        with pytest.raises(palomar.ServerUnavailable):
            next(flows)


def test_who_cannot_reach_the_server_is_told_at_once() -> None:
    with (
        palomar.Client("unix:/nonexistent/socket", reconnect=NEVER_MIND) as client,
        pytest.raises(palomar.ServerUnavailable, match="no such socket"),
    ):
        list(client.observe(follow=True))


def test_a_look_back_that_breaks_again_and_again_is_an_error_in_the_end() -> None:
    broken = (grpc.StatusCode.UNAVAILABLE, "the node goes down")
    policy = Reconnect(first_delay_s=0, delay_max_s=0, attempts_max=2)
    with (
        FakeObserver(FLOWS, error=broken) as server,
        palomar.Client(server.target, reconnect=policy) as client,
    ):
        read: list[str] = []
        with pytest.raises(palomar.ServerUnavailable, match="the node goes down"):
            read.extend(flow.Summary for flow in client.observe(all=True))
    assert read == ["0", "1", "2", "3", "4", "5"]
    assert len(server.requests) == 3


def test_a_look_back_of_single_flows_cannot_go_on() -> None:
    broken = (grpc.StatusCode.UNAVAILABLE, "the node goes down")
    with (
        FakeObserver(FLOWS, error=broken, batched=False) as server,
        palomar.Client(server.target, reconnect=QUICK) as client,
        pytest.raises(palomar.ServerUnavailable),
    ):
        list(client.observe(all=True))
    assert len(server.requests) == 1


@pytest.mark.parametrize("closed", ["stream", "client"])
def test_closing_ends_the_wait_for_the_next_attempt(closed: str) -> None:
    waiting = threading.Event()
    with (
        FakeObserver(FLOWS, hold=True) as server,
        Cable(server.target) as cable,
        palomar.Client(cable.target, reconnect=NEVER_MIND) as client,
    ):
        stream = client.observe(follow=True, on_reconnect=lambda _: waiting.set())
        flows = iter(stream)
        for _ in FLOWS:
            next(flows)

        def close() -> None:
            waiting.wait()
            (stream if closed == "stream" else client).close()

        threading.Thread(target=close).start()
        cable.unplug()
        assert list(flows) == []


async def test_asyncio_goes_on_as_well() -> None:
    script = summaries(0, 3)
    with FakeObserver(script, hold=True) as server, Cable(server.target) as cable:
        async with (
            palomar.AsyncClient(cable.target, reconnect=QUICK) as client,
            client.observe(follow=True) as stream,
        ):
            flows = aiter(stream)
            assert [(await anext(flows)).Summary for _ in range(3)] == ["0", "1", "2"]
            script += summaries(3, 4)
            cable.cut()
            assert (await anext(flows)).Summary == "3"
            assert [gap.may_miss_flows for gap in stream.gaps] == [False]
            stream.close()
            assert [flow async for flow in flows] == []


@pytest.mark.parametrize("ended_by", ["stream", "client", "task"])
async def test_asyncio_ends_the_wait_for_the_next_attempt_too(ended_by: str) -> None:
    with FakeObserver(FLOWS, hold=True) as server, Cable(server.target) as cable:
        async with palomar.AsyncClient(cable.target, reconnect=NEVER_MIND) as client:
            waiting = asyncio.Event()
            stream = client.observe(follow=True, on_reconnect=lambda _: waiting.set())
            flows = aiter(stream)
            for _ in FLOWS:
                await anext(flows)

            async def rest() -> list[str]:
                return [flow.Summary async for flow in flows]

            async with asyncio.TaskGroup() as group:
                reader = group.create_task(rest())
                cable.unplug()
                await waiting.wait()
                if ended_by == "task":
                    reader.cancel()
                elif ended_by == "stream":
                    stream.close()
                else:
                    await client.close()
            assert reader.cancelled() or reader.result() == []
            assert reader.cancelled() == (ended_by == "task")


def test_a_server_that_is_silently_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palomar.rpc.KEEPALIVE_S", 0.3)
    monkeypatch.setattr("palomar.rpc.PING_TIMEOUT_S", 0.3)
    script = summaries(0, 2)
    with (
        FakeObserver(script, hold=True) as server,
        Cable(server.target) as cable,
        palomar.Client(cable.target, reconnect=QUICK) as client,
        client.observe(follow=True) as stream,
    ):
        flows = iter(stream)
        assert [next(flows).Summary for _ in range(2)] == ["0", "1"]
        cable.freeze()
        script += summaries(2, 3)
        assert next(flows).Summary == "2"
        assert stream.gaps
