"""Calls, asked by gRPC's own client where it can ask so, and by hand where it would not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2, observer_pb2_grpc
from palomar_server.errors import Exhausted, Refused
from tests.server.grpc_testbed import QUICK, Transport, until
from tests.server.http2_client import Http2Client, prefix

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FLOWS = "/observer.Observer/GetFlows"
GetFlows = observer_pb2.GetFlowsRequest
Status = observer_pb2.ServerStatusRequest
FOLLOWERS = """
import grpc, sys, time
from palomar_proto.observer import observer_pb2, observer_pb2_grpc
with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = observer_pb2_grpc.ObserverStub(channel)
    calls = [stub.GetFlows(observer_pb2.GetFlowsRequest(follow=True)) for _ in range(20)]
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "palomar.sock"


@pytest.fixture
async def served(path: Path) -> AsyncIterator[Transport]:
    async with Transport(path).serving() as served:
        yield served


@pytest.fixture
async def stub(served: Transport, path: Path) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        yield observer_pb2_grpc.ObserverStub(channel)


def flow(number: int) -> bytes:
    response = observer_pb2.GetFlowsResponse(node_name=str(number))
    return response.SerializeToString()


async def test_a_request_is_answered(served: Transport, stub: Any) -> None:
    answer = await stub.ServerStatus(Status())
    assert answer == served.answers.status
    [peer] = served.answers.peers
    assert (peer.uid, peer.pid, peer.address) == (os.getuid(), os.getpid(), f"unix:pid={peer.pid}")


async def test_an_answer_larger_than_every_window_arrives(served: Transport, stub: Any) -> None:
    served.answers.status.version = "x" * 3_000_000
    assert await stub.ServerStatus(Status()) == served.answers.status


async def test_lists_arrive_message_by_message_and_in_order(served: Transport, stub: Any) -> None:
    served.answers.lists = [[flow(at + one) for one in range(70)] for at in range(0, 7000, 70)]
    names = [response.node_name async for response in stub.GetFlows(GetFlows())]
    assert names == [str(number) for number in range(7000)]


async def test_a_client_that_blocks_in_its_own_thread_is_served_too(
    served: Transport, path: Path
) -> None:
    served.answers.lists = [[flow(1)] * 100] * 100

    def read() -> int:
        with grpc.insecure_channel(f"unix:{path}") as channel:
            stub = observer_pb2_grpc.ObserverStub(channel)
            return sum(1 for _ in stub.GetFlows(GetFlows()))

    assert await asyncio.to_thread(read) == 10_000


async def test_a_thousand_followers_share_one_channel(served: Transport, stub: Any) -> None:
    served.answers.lists = [[flow(7)]]
    calls = [stub.GetFlows(GetFlows(follow=True)) for _ in range(1000)]
    first = await asyncio.gather(*(call.read() for call in calls))
    assert {response.node_name for response in first} == {"7"}
    assert served.answers.open == served.server.calls == 1000
    assert served.server.connections == 1
    for call in calls[:500]:
        call.cancel()
    await until(lambda: served.answers.open == 500)
    served.answers.go_on.set()
    rest = await asyncio.gather(*(call.read() for call in calls[500:]))
    assert set(rest) == {grpc.aio.EOF}
    assert not served.server.violations


async def test_a_client_that_is_killed_is_gone_at_once(served: Transport, path: Path) -> None:
    argv = [sys.executable, "-c", FOLLOWERS, f"unix:{path}"]
    with subprocess.Popen(argv) as client:  # noqa: ASYNC220 - it lives beside this loop
        await until(lambda: served.answers.open == 20)
        client.send_signal(signal.SIGKILL)
    await until(lambda: not served.answers.open)
    await until(lambda: not served.server.connections)


async def test_a_deadline_ends_the_call_and_frees_its_stream(served: Transport, stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetFlows(GetFlows(follow=True), timeout=0.1).read()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: not served.answers.open)


async def test_the_server_itself_heeds_the_deadline(served: Transport, path: Path) -> None:
    async with Http2Client(path) as client:
        stream = client.request(
            b"\0\0\0\0\x02\x18\x01", path=FLOWS, headers={"grpc-timeout": "50m"}
        )
        headers, _ = await client.answer(stream)
        assert headers["grpc-status"] == "4"
        assert not served.answers.open


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (Exhausted("too many"), grpc.StatusCode.RESOURCE_EXHAUSTED, "too many"),
        (Refused("größer als 100 %\n"), grpc.StatusCode.PERMISSION_DENIED, "größer als 100 %\n"),
        (Exhausted("x" * 100_000), grpc.StatusCode.RESOURCE_EXHAUSTED, "x" * 2048),
    ],
)
@pytest.mark.parametrize("method", ["GetFlows", "ServerStatus"])
async def test_a_refusal_tells_its_status_and_text(
    served: Transport,
    stub: Any,
    method: str,
    error: Exception,
    code: grpc.StatusCode,
    text: str,
) -> None:
    served.answers.error = error
    call = getattr(stub, method)(getattr(observer_pb2, f"{method}Request")())
    assert (await call.code(), await call.details()) == (code, text)


@pytest.mark.parametrize("error", [ValueError("a secret"), TimeoutError("a secret")])
async def test_an_error_is_logged_once_and_not_told(
    served: Transport, stub: Any, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    served.answers.error = error
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ServerStatus(Status())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (caught.value.details() or "")
    logged = capsys.readouterr().out
    assert logged.count("a call failed") == 1
    assert "a secret" in logged


async def test_what_was_sent_before_an_error_arrives(served: Transport, stub: Any) -> None:
    served.answers.lists = [[flow(1), flow(2)]]
    served.answers.error = Exhausted("no more")
    call = stub.GetFlows(GetFlows())
    names = [(await call.read()).node_name for _ in range(2)]
    assert names == ["1", "2"]
    assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_request_that_never_comes_is_not_waited_for(served: Transport, path: Path) -> None:
    async with Http2Client(path) as client:
        for body in (None, b"\0\0\0\0\x09x"):
            headers, _ = await client.answer(client.request(body, end=False))
            assert headers["grpc-status"] == "4"
            assert headers["grpc-message"] == "no request came within 0.2 s"
        assert served.server.connections == 1
        assert served.server.calls == 0


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (None, "3", "is missing"),
        (b"\0\0\0", "3", "ends in the middle"),
        (b"\0\0\0\0\x09x", "3", "ends in the middle"),
        (b"\0\0\0\0\x01\xff", "3", "is no observer.ServerStatusRequest"),
        (b"\x01\0\0\0\x01x", "12", "is compressed"),
        (prefix(QUICK.request_bytes_max + 1), "8", "more than the 65536"),
        (b"\0\xff\xff\xff\xff", "8", "has 4294967295 bytes"),
        (b"\x07\0\0\0\0", "12", "is compressed"),
    ],
)
async def test_what_is_no_request_is_told_so(
    served: Transport, path: Path, body: bytes | None, code: str, text: str
) -> None:
    async with Http2Client(path) as client:
        headers, _ = await client.answer(client.request(body))
        assert headers["grpc-status"] == code
        assert text in headers["grpc-message"]
        headers, _ = await client.answer(client.request())
        assert headers["grpc-status"] == "0"
    assert not served.server.violations


async def test_compression_is_declined_in_words(served: Transport, path: Path) -> None:
    async with grpc.aio.insecure_channel(
        f"unix:{path}", compression=grpc.Compression.Gzip
    ) as channel:
        filters = [flow_pb2.FlowFilter(source_pod=["x" * 1000])]
        call = observer_pb2_grpc.ObserverStub(channel).GetFlows(GetFlows(whitelist=filters))
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "compressed" in (await call.details() or "")


async def test_a_second_message_to_a_method_that_takes_one_is_passed_over(
    served: Transport, path: Path
) -> None:
    async with Http2Client(path) as client:
        headers, data = await client.answer(client.request(b"\0\0\0\0\0" * 1000))
        assert headers["grpc-status"] == "0"
        assert data == b"\0\0\0\0\x02\x08\x05"


async def test_a_request_is_served_before_the_client_has_closed_its_side(
    served: Transport, path: Path
) -> None:
    async with Http2Client(path) as client:
        for _ in range(3):
            headers, _ = await client.answer(client.request(end=False))
            assert headers["grpc-status"] == "0"


async def test_stopping_tells_calls_under_way(served: Transport, stub: Any) -> None:
    call = stub.GetFlows(GetFlows(follow=True))
    await until(lambda: served.answers.open)
    await served.server.stop(0)
    assert (await call.code(), await call.details()) == (
        grpc.StatusCode.UNAVAILABLE,
        "palomard is stopping",
    )
    assert not served.answers.open


async def test_within_the_grace_calls_end_by_themselves(served: Transport, stub: Any) -> None:
    call = stub.GetFlows(GetFlows(follow=True))
    await until(lambda: served.answers.open)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(served.server.stop(30), name="stop")
        await asyncio.sleep(0.01)
        served.answers.go_on.set()
        assert await call.code() is grpc.StatusCode.OK


async def test_a_call_that_comes_after_the_goodbye_may_be_made_again(
    served: Transport, path: Path
) -> None:
    async with Http2Client(path) as client:
        client.request(b"\0\0\0\0\x02\x18\x01", path=FLOWS)
        await until(lambda: served.answers.open)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(served.server.stop(30), name="stop")
            await asyncio.sleep(0.01)
            # As it does not know yet.
            late = client.request()
            while not any(
                type(event).__name__ == "StreamReset" and getattr(event, "stream_id", 0) == late
                for event in client.events
            ):
                data = await client.reader.read(1 << 16)
                # h2 closes a connection at a GOAWAY, and would read no more.
                if b"\0\0\x08\x07\0" in data:
                    data = (
                        data[: data.index(b"\0\0\x08\x07\0")]
                        + data[data.index(b"\0\0\x08\x07\0") + 17 :]
                    )
                client.events += client.http2.receive_data(data)
            served.answers.go_on.set()


@pytest.mark.parametrize(
    "method", ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", FLOWS]
)
async def test_a_message_in_front_of_one_that_cannot_be_read_is_given_back_once(
    served: Transport, path: Path, method: str
) -> None:
    async with Http2Client(path) as client:
        stream = client.request(body=None, path=method, end=False)
        client.http2.send_data(stream, prefix(0))
        client.http2.send_data(stream, prefix(5, compressed=True))
        client.flush()
        headers, _ = await client.answer(stream)
        assert headers["grpc-status"] != "13"
        [connection] = served.server._connections
        await until(lambda: not connection._calls)
