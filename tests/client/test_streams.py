import threading
from collections.abc import Iterator

import pytest

import palomar
from palomar.errors import ServerUnavailable
from palomar.streams import BatchStream, EventStream
from palomar.target import parse_target
from palomar.testing import FakeObserver, make_response
from palomar_proto.observer.observer_pb2 import GetAgentEventsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch
from tests.client.cable import Cable


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


class Refusing:
    """How a stream of ours gets on that the server refuses."""

    def __init__(self, calls: list[EventCall], delay_s: float) -> None:
        self.calls = calls
        self.answers = 0
        self._delay_s = delay_s

    def take(self, answer: GetAgentEventsResponse) -> bool:
        return answer.node_name != "seen"

    def answered(self) -> None:
        self.answers += 1

    def delay_s(self, error: Exception) -> float | None:
        return self._delay_s if self.calls else None

    def open(self) -> EventCall:
        return self.calls.pop(0)


class BrokenCall(EventCall):
    """A call that fails behind its answers."""

    def __iter__(self) -> Iterator[GetAgentEventsResponse]:
        yield from super().__iter__()
        raise ServerUnavailable("gone")


def responses_of(*names: str) -> list[GetAgentEventsResponse]:
    return [GetAgentEventsResponse(node_name=name) for name in names]


def test_a_stream_reads_one_call_after_another_and_leaves_out_what_it_has() -> None:
    first = BrokenCall(responses_of("a", "b"))
    rest = [BrokenCall(), EventCall(responses_of("seen", "c"))]
    how = Refusing([*rest], delay_s=0)
    with EventStream(first, parse_target("h:1"), how) as stream:
        assert [response.node_name for response in stream] == ["a", "b", "c"]
    assert how.answers == 2
    assert rest[-1].cancelled


def test_a_stream_gives_up_when_told_so() -> None:
    stream = EventStream(BrokenCall(responses_of("a")), parse_target("h:1"), Refusing([], 0))
    answers = iter(stream)
    assert next(answers).node_name == "a"
    with pytest.raises(ServerUnavailable, match="gone"):
        next(answers)


def test_a_stream_that_was_closed_has_no_errors() -> None:
    stream = EventStream(BrokenCall(responses_of("a")), parse_target("h:1"))
    answers = iter(stream)
    next(answers)
    stream.close()
    assert list(answers) == []


QUICK = palomar.Reconnect(first_delay_s=0.01, delay_max_s=0.05)
FLOWS = [make_response(Summary=str(number)) for number in range(4)]


def agent_event(second: int) -> GetAgentEventsResponse:
    event = GetAgentEventsResponse(node_name="c/n")
    event.time.seconds = second
    return event


def test_events_are_followed_over_a_cut() -> None:
    script = [agent_event(1), agent_event(2)]
    with (
        FakeObserver(agent_events=script, hold=True) as server,
        Cable(server.target) as cable,
        palomar.Client(cable.target, reconnect=QUICK) as client,
    ):
        events = iter(client.agent_events(follow=True))
        assert [next(events) for _ in range(2)] == script
        script.append(agent_event(3))
        cable.cut()
        assert next(events) == script[2]
    assert server.event_requests[1].since.seconds == 1
    assert server.event_requests[1].number == 0


def test_batches_are_followed_over_a_cut() -> None:
    script = FLOWS[:2]
    with (
        FakeObserver(script, hold=True) as server,
        Cable(server.target) as cable,
        palomar.Client(cable.target, reconnect=QUICK) as client,
    ):
        batches = iter(client.flow_batches(follow=True))
        assert list(next(batches).sequences) == [0, 1]
        script += FLOWS[2:]
        cable.cut()
        assert list(next(batches).sequences) == [2, 3]


async def test_asyncio_follows_events_and_batches_too() -> None:
    events, flows = [agent_event(1)], FLOWS[:1]
    with (
        FakeObserver(flows, agent_events=events, hold=True) as server,
        Cable(server.target) as cable,
    ):
        async with palomar.AsyncClient(cable.target, reconnect=QUICK) as client:
            agent = aiter(client.agent_events(follow=True))
            batches = aiter(client.flow_batches(follow=True))
            assert (await anext(agent)).time.seconds == 1
            assert list((await anext(batches)).sequences) == [0]
            events.append(agent_event(2))
            flows += FLOWS[1:]
            cable.cut()
            assert (await anext(agent)).time.seconds == 2
            assert list((await anext(batches)).sequences) == [1, 2, 3]


def test_closing_the_client_ends_the_wait_for_the_next_attempt() -> None:
    never_mind = palomar.Reconnect(first_delay_s=1000, delay_max_s=1000)
    with (
        FakeObserver(FLOWS, hold=True) as server,
        Cable(server.target) as cable,
        palomar.Client(cable.target, reconnect=never_mind) as client,
    ):
        batches = iter(client.flow_batches(follow=True))
        next(batches)
        cable.unplug()
        timer = threading.Timer(0.1, client.close)
        timer.start()
        assert list(batches) == []
        timer.join()
