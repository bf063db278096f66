import asyncio
import inspect
import threading
from pathlib import Path

import grpc
import pytest

import palomar
from palomar.testing import FakeObserver, make_response
from palomar_proto.flow.flow_pb2 import Flow
from palomar_proto.observer.observer_pb2 import (
    GetAgentEventsResponse,
    GetDebugEventsResponse,
    GetFlowsResponse,
    GetNodesRequest,
    GetNodesResponse,
    ServerStatusResponse,
)


async def flows_of(stream: palomar.AsyncFlowStream) -> list[Flow]:
    return [flow async for flow in stream]


async def test_observe_sends_the_request_and_yields_flows(loss: GetFlowsResponse) -> None:
    with FakeObserver([make_response(), loss]) as server:
        async with palomar.AsyncClient(server.target) as client:
            stream = client.observe(verdict="drop", last=2)
            flows = await flows_of(stream)
    assert [flow.Summary for flow in flows] == ["TCP Flags: SYN"]
    assert stream.lost_events == 7
    assert server.requests[0].number == 2


async def test_leaving_the_block_ends_the_call() -> None:
    with FakeObserver([make_response()], hold=True) as server:
        async with palomar.AsyncClient(server.target) as client:
            async with client.observe(follow=True) as stream:
                async for _ in stream:
                    break
            assert await asyncio.to_thread(server.cancelled.wait, 10)


async def test_close_ends_the_stream_without_an_error() -> None:
    with FakeObserver([make_response()], hold=True) as server:
        async with palomar.AsyncClient(server.target) as client:
            stream = client.observe(follow=True)
            async for _ in stream:
                stream.close()


async def test_cancelled_task_stays_cancelled() -> None:
    with FakeObserver([make_response()], hold=True) as server:
        async with palomar.AsyncClient(server.target) as client:
            stream = client.observe(follow=True)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(flows_of(stream), timeout=0.2)


async def test_errors_of_the_stream_come_after_its_flows() -> None:
    refused = (grpc.StatusCode.INVALID_ARGUMENT, "bad pod")
    with FakeObserver([make_response()], error=refused) as server:
        async with palomar.AsyncClient(server.target) as client:
            stream = aiter(client.observe())
            assert (await anext(stream)).Summary
            with pytest.raises(palomar.InvalidRequest, match="bad pod"):
                await anext(stream)


async def test_status_and_health() -> None:
    status = ServerStatusResponse(num_flows=3)
    with FakeObserver(status=status) as server:
        async with palomar.AsyncClient(server.target) as client:
            assert await client.status() == status
            assert await client.health() is palomar.Health.SERVING
    with FakeObserver(health=None) as server:
        async with palomar.AsyncClient(server.target) as client:
            assert await client.health() is None


async def test_events_come_with_their_time_and_node() -> None:
    agent, debug = GetAgentEventsResponse(node_name="a"), GetDebugEventsResponse(node_name="d")
    with FakeObserver(agent_events=[agent], debug_events=[debug]) as server:
        async with palomar.AsyncClient(server.target) as client:
            async with client.agent_events(last=1) as stream:
                assert [response async for response in stream] == [agent]
            assert [response async for response in client.debug_events(last=2)] == [debug]
    assert [request.number for request in server.event_requests] == [1, 2]


async def test_a_followed_event_stream_can_be_closed() -> None:
    agent = GetAgentEventsResponse(node_name="a")
    with FakeObserver(agent_events=[agent], hold=True) as server:
        async with palomar.AsyncClient(server.target) as client:
            stream = client.agent_events(follow=True)
            async for response in stream:
                assert response == agent
                stream.close()


async def test_absent_server_is_unavailable(tmp_path: Path) -> None:
    async with palomar.AsyncClient(f"unix:{tmp_path}/x.sock") as client:
        with pytest.raises(palomar.ServerUnavailable, match="no such socket"):
            await client.status()


def test_made_without_an_event_loop_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="make it in a coroutine"):
        palomar.AsyncClient("localhost:1")


async def test_a_question_under_way_fails_when_the_client_is_closed() -> None:
    asked, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def answer(request: GetNodesRequest) -> GetNodesResponse:
        del request
        loop.call_soon_threadsafe(asked.set)
        release.wait(10)
        return GetNodesResponse()

    with FakeObserver(nodes=answer) as server:
        client = palomar.AsyncClient(server.target)

        async def ask() -> None:
            with pytest.raises(palomar.ServerError, match="closed"):
                await client.nodes()

        async with asyncio.TaskGroup() as group:
            group.create_task(ask())
            await asked.wait()
            await client.close()
        release.set()
        with pytest.raises(palomar.InvalidRequest, match="client is closed"):
            await client.nodes()
        with pytest.raises(palomar.InvalidRequest, match="client is closed"):
            client.observe()


async def test_a_cancelled_task_ends_even_if_its_client_is_closed_at_once() -> None:
    with FakeObserver([make_response()], hold=True) as server:
        client = palomar.AsyncClient(server.target)
        got = asyncio.Event()

        async def read() -> None:
            async for _ in client.observe(follow=True):
                got.set()

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read())
            await got.wait()
            reading.cancel()
            await client.close()
        assert reading.cancelled()


METHODS = ["__init__", *(name for name in dir(palomar.Client) if not name.startswith("_"))]


def test_both_clients_have_the_same_methods() -> None:
    ours, theirs = (
        {name for name in dir(kind) if not name.startswith("_")}
        for kind in (palomar.Client, palomar.AsyncClient)
    )
    assert ours == theirs


@pytest.mark.parametrize(
    "name", [name for name in METHODS if not isinstance(getattr(palomar.Client, name), property)]
)
def test_both_clients_take_the_same_arguments(name: str) -> None:
    ours, theirs = (
        list(inspect.signature(getattr(kind, name)).parameters.items())
        for kind in (palomar.Client, palomar.AsyncClient)
    )
    assert ours == theirs
