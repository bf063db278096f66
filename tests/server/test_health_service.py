from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from palomar_proto.observer import observer_pb2_grpc
from palomar_proto.observer.observer_pb2 import GetFlowsRequest
from palomar_server.errors import Exhausted, NotFound
from palomar_server.health_service import HealthService
from palomar_server.peer import OWN
from tests.server.grpc_testbed import Transport, until

if TYPE_CHECKING:
    from pathlib import Path

Request = health_pb2.HealthCheckRequest
Response = health_pb2.HealthCheckResponse


def parsed(messages: list[bytes]) -> list[int]:
    return [Response.FromString(message).status for message in messages]


async def test_what_is_served_is_serving_until_the_end() -> None:
    health = HealthService(["", "a.B"])
    assert health.check(Request(service="a.B"), OWN).status == Response.SERVING
    health.stop()
    assert health.check(Request(), OWN).status == Response.NOT_SERVING
    with pytest.raises(NotFound, match=r"no service c\.D"):
        health.check(Request(service="c.D"), OWN)


async def test_a_watch_tells_the_state_and_its_change() -> None:
    health = HealthService(["a.B"])
    async with asyncio.timeout(10), aclosing(health.watch(Request(service="a.B"), OWN)) as states:
        assert parsed(await anext(states)) == [Response.SERVING]
        health.stop()
        assert parsed(await anext(states)) == [Response.NOT_SERVING]
        assert await anext(states, None) is None


async def test_a_watch_of_the_unknown_says_so_and_waits() -> None:
    async with aclosing(HealthService([]).watch(Request(service="a.B"), OWN)) as states:
        assert parsed(await anext(states)) == [Response.SERVICE_UNKNOWN]


async def test_watches_are_limited() -> None:
    health = HealthService([""], watches_max=1)
    async with aclosing(health.watch(Request(), OWN)) as first:
        await anext(first)
        with pytest.raises(Exhausted, match="watches_max"):
            await anext(health.watch(Request(), OWN))
    async with aclosing(health.watch(Request(), OWN)) as second:
        await anext(second)


async def test_a_stock_client_watches_the_server_stop(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with (
        Transport(path).serving() as served,
        grpc.aio.insecure_channel(f"unix:{path}") as channel,
    ):
        call = health_pb2_grpc.HealthStub(channel).Watch(Request(service="observer.Observer"))
        assert (await call.read()).status == Response.SERVING
        # Another call keeps the connection: gRPC forgets what it has not read when a write fails.
        kept = observer_pb2_grpc.ObserverStub(channel).GetFlows(GetFlowsRequest(follow=True))  # type: ignore[no-untyped-call, unused-ignore]
        await until(lambda: served.answers.open)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.server.stop(30))
            assert (await call.read()).status == Response.NOT_SERVING
            assert await call.code() is grpc.StatusCode.OK
            kept.cancel()
