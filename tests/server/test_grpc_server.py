from __future__ import annotations

import asyncio
import os
import socket
import stat
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from h2.settings import SettingCodes

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2, observer_pb2_grpc
from palomar_server.grpc_server import GrpcServer
from palomar_server.observer import Observer
from palomar_server.observer_service import observer_service
from palomar_server.streams import Streams
from palomar_server.table import Kind
from palomar_server.testing import START_NS, Core, event_row, flow_rows
from palomar_server.unix_socket import SocketInUseError
from palomar_server.waker import Waker
from tests.server.http2_client import Http2Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GetFlows = observer_pb2.GetFlowsRequest


class Node:
    """A server on a ring that the test writes."""

    def __init__(self, path: Path, *, listen: str | None = None, capacity: int = 63) -> None:
        self.core = Core(capacity=capacity)
        self.waker = Waker(asyncio.get_running_loop())
        self.observer = Observer(
            self.core.ring,
            self.core.encoder,
            self.core.surroundings,
            self.waker,
            streams=Streams(streams_max=4),
        )
        self.server = GrpcServer(
            [observer_service(self.observer)], socket=path, socket_mode=0o660, listen=listen
        )

    def write(self, count: int = 1) -> None:
        self.core.ring.append(flow_rows(count, source_port=range(count)))
        self.waker.notify()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Node]:
        await self.server.start()
        try:
            yield self
        finally:
            await self.server.stop(0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "palomar.sock"


@pytest.fixture
async def node(path: Path) -> AsyncIterator[Node]:
    async with asyncio.timeout(60), Node(path, listen="127.0.0.1:0").serving() as node:
        yield node


@pytest.fixture(params=["unix", "tcp"])
async def channel(
    node: Node, path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[grpc.aio.Channel]:
    target = f"unix:{path}" if request.param == "unix" else f"127.0.0.1:{node.server.port}"
    async with grpc.aio.insecure_channel(target) as channel:
        yield channel


@pytest.fixture
async def stub(node: Node, path: Path) -> AsyncIterator[observer_pb2_grpc.ObserverAsyncStub]:
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        yield observer_pb2_grpc.ObserverStub(channel)


async def ports(stub: Any, request: observer_pb2.GetFlowsRequest) -> list[int]:
    return [response.flow.l4.TCP.source_port async for response in stub.GetFlows(request)]


async def test_flows_come_over_both_sockets(node: Node, channel: grpc.aio.Channel) -> None:
    node.write(5)
    stub = observer_pb2_grpc.ObserverStub(channel)
    assert await ports(stub, GetFlows(number=2)) == [3, 4]


async def test_a_response_is_what_the_stock_stubs_read(node: Node, stub: Any) -> None:
    node.write()
    [response] = [one async for one in stub.GetFlows(GetFlows(number=1))]
    [row] = node.core.rows()
    assert response.flow == node.core.encoder.flow(row, sequence=0)
    assert response.node_name == "default/node"
    assert response.WhichOneof("response_types") == "flow"


async def test_a_follower_gets_flows_as_they_come(node: Node, stub: Any) -> None:
    call = stub.GetFlows(GetFlows(follow=True))
    await call.initial_metadata()
    while not node.observer.streams:
        await asyncio.sleep(0.001)
    node.write(3)
    assert [(await call.read()).flow.l4.TCP.source_port for _ in range(3)] == [0, 1, 2]
    call.cancel()


async def test_server_status_is_served(node: Node, stub: Any) -> None:
    node.write(5)
    status = await stub.ServerStatus(observer_pb2.ServerStatusRequest())
    assert (status.num_flows, status.max_flows, status.seen_flows) == (5, 63, 5)


@pytest.mark.parametrize("method", ["GetFlows", "GetAgentEvents", "GetDebugEvents", "ServerStatus"])
async def test_every_answer_carries_the_version_header(node: Node, stub: Any, method: str) -> None:
    request = getattr(observer_pb2, f"{method}Request")()
    call = getattr(stub, method)(request)
    metadata = dict(await call.trailing_metadata())
    assert metadata["hubble-server-version"].startswith("1.19.4+palomar.")


async def test_a_node_knows_of_no_others_and_says_so(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="GetNodes") as caught:
        await stub.GetNodes(observer_pb2.GetNodesRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    metadata = dict(caught.value.trailing_metadata() or ())
    assert metadata["hubble-server-version"].startswith("1.19.4+palomar.")


async def test_agent_and_debug_events_are_what_the_stock_stubs_read(node: Node, stub: Any) -> None:
    agent = flow_pb2.AgentEvent(type=flow_pb2.POLICY_UPDATED)
    debug = flow_pb2.DebugEvent(type=flow_pb2.DBG_ENCAP, message="m")
    rows = np.concatenate((event_row(Kind.AGENT), flow_rows(1), event_row(Kind.DEBUG, message=2)))
    node.core.ring.append(rows, [agent.SerializeToString(), debug.SerializeToString()])
    [of_agent] = [one async for one in stub.GetAgentEvents(observer_pb2.GetAgentEventsRequest())]
    [of_debug] = [one async for one in stub.GetDebugEvents(observer_pb2.GetDebugEventsRequest())]
    assert (of_agent.agent_event, of_debug.debug_event) == (agent, debug)
    assert of_agent.node_name == of_debug.node_name == "default/node"
    assert of_agent.time.ToNanoseconds() == of_debug.time.ToNanoseconds() == START_NS


@pytest.mark.parametrize("method", ["GetAgentEvents", "GetDebugEvents"])
async def test_event_streams_refuse_what_flows_refuse(stub: Any, method: str) -> None:
    request = getattr(observer_pb2, f"{method}Request")(first=True, follow=True)
    call = getattr(stub, method)(request)
    with pytest.raises(grpc.aio.AioRpcError, match="cannot be specified with follow") as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("request_message", "code", "text"),
    [
        (
            GetFlows(first=True, follow=True),
            grpc.StatusCode.INVALID_ARGUMENT,
            "cannot be specified with follow",
        ),
        (
            GetFlows(whitelist=[flow_pb2.FlowFilter(source_port=["x"])]),
            grpc.StatusCode.INVALID_ARGUMENT,
            "source_port: 'x' is no port number",
        ),
    ],
)
async def test_a_request_that_is_not_served_ends_with_status_and_text(
    stub: Any, request_message: observer_pb2.GetFlowsRequest, code: grpc.StatusCode, text: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ports(stub, request_message)
    assert caught.value.code() is code
    assert text in (caught.value.details() or "")


async def test_more_streams_than_allowed_are_refused(node: Node, stub: Any) -> None:
    calls = [stub.GetFlows(GetFlows(follow=True)) for _ in range(4)]
    while len(node.observer.streams) < 4:
        await asyncio.sleep(0.001)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ports(stub, GetFlows())
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    for call in calls:
        call.cancel()
    while node.observer.streams:
        await asyncio.sleep(0.001)
    assert await ports(stub, GetFlows()) == []


async def test_a_client_that_leaves_while_the_server_sends_frees_its_stream(path: Path) -> None:
    async with asyncio.timeout(60), Node(path, capacity=65_535).serving() as node:
        node.write(65_535)
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            call = observer_pb2_grpc.ObserverStub(channel).GetFlows(GetFlows())
            # It reads one response of thousands, so that the server waits for it to take more.
            await call.read()
            assert len(node.observer.streams) == 1
            call.cancel()
        while node.observer.streams:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("service", ["", "observer.Observer", "hubble.server.Observer"])
async def test_health_is_serving(channel: grpc.aio.Channel, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_health_of_another_service_is_not_found(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(health_pb2.HealthCheckRequest(service="peer.Peer"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [answer] = [one async for one in stub.ServerReflectionInfo(iter([request]))]
    assert [service.name for service in answer.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "observer.Observer",
    ]


async def test_reflection_knows_the_messages(channel: grpc.aio.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="observer.Observer")
    [answer] = [one async for one in stub.ServerReflectionInfo(iter([request]))]
    assert answer.file_descriptor_response.file_descriptor_proto


async def test_the_socket_has_its_mode_and_the_umask_is_as_it_was(path: Path) -> None:
    umask = os.umask(0o022)
    try:
        async with Node(path).serving():
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert stat.S_ISSOCK(path.stat().st_mode)
            assert os.umask(0o022) == 0o022
    finally:
        os.umask(umask)


async def test_without_listen_there_is_no_tcp_port(path: Path) -> None:
    async with Node(path).serving() as node:
        assert node.server.port is None


async def test_a_second_server_is_refused_and_leaves_the_first_alone(
    node: Node, stub: Any, path: Path
) -> None:
    second = Node(path)
    with pytest.raises(SocketInUseError, match=f"another process serves {path}"):
        await second.server.start()
    await second.server.stop(0)
    node.write()
    assert await ports(stub, GetFlows()) == [0]


async def test_the_socket_can_be_reserved_before_the_server_starts(path: Path) -> None:
    first = Node(path)
    first.server.take_lock()
    assert not path.exists()
    with pytest.raises(SocketInUseError):
        Node(path).server.take_lock()
    async with first.serving():
        assert path.exists()
    async with Node(path).serving():
        assert path.exists()


async def test_hundreds_may_connect_before_the_server_has_its_turn(path: Path) -> None:
    async with Node(path).serving() as node:
        with ExitStack() as clients:
            for _ in range(300):
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.settimeout(0)
                client.connect(str(path))
            while node.server.connections + node.server.refused < 300:
                await asyncio.sleep(0)
            assert node.server.connections


async def test_the_socket_of_a_killed_server_is_taken_over(path: Path) -> None:
    path.parent.mkdir()
    path.with_name(path.name + ".lock").touch()
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
    assert path.exists()
    async with asyncio.timeout(60), Node(path).serving() as node:
        node.write()
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            assert await ports(observer_pb2_grpc.ObserverStub(channel), GetFlows()) == [0]


async def test_stopping_removes_the_socket_and_a_new_server_can_start(path: Path) -> None:
    for _ in range(2):
        async with Node(path).serving():
            assert path.exists()
        assert not path.exists()


async def test_stopping_twice_is_no_error_and_touches_no_other_server(path: Path) -> None:
    first = Node(path)
    async with first.serving():
        pass
    async with Node(path).serving():
        await first.server.stop(0)
        assert path.exists()


async def test_stopping_waits_for_no_client_that_does_not_read(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = Node(path, capacity=65_535)
    node.write(65_535)
    await node.server.start()
    async with asyncio.timeout(20), Http2Client(path) as client:
        # It allows for more than the socket holds, and takes nothing of it.
        client.http2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 30})
        client.http2.increment_flow_control_window(1 << 30)
        client.request(path="/observer.Observer/GetFlows")
        while not any(
            one._transport is not None and one._transport.get_write_buffer_size()
            for one in node.server._connections
        ):
            await asyncio.sleep(0.01)
        await node.server.stop(0.1)
    assert not path.exists()
    assert "clients that do not read are cut" in capsys.readouterr().out


async def test_stopping_ends_followers(node: Node, stub: Any) -> None:
    call = stub.GetFlows(GetFlows(follow=True))
    while not node.observer.streams:
        await asyncio.sleep(0.001)
    await node.server.stop(0)
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()
    while node.observer.streams:
        await asyncio.sleep(0.001)


async def test_a_port_in_use_is_named_and_nothing_is_left_behind(path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=f"cannot listen on {listen}"):
            await Node(path, listen=listen).server.start()
    assert not path.exists()
    async with Node(path).serving():
        assert path.exists()


async def test_a_path_too_long_for_a_socket_is_named(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)
    with pytest.raises(OSError, match="too long for a unix socket"):
        await Node(path, listen="127.0.0.1:0").server.start()


async def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("important")
    with pytest.raises(OSError, match="cannot listen"):
        await Node(path).server.start()
    assert path.read_text() == "important"


async def test_a_lock_that_is_a_symbolic_link_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    (tmp_path / "target").touch()
    path.with_name(path.name + ".lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        await Node(path).server.start()
