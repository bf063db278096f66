"""A whole daemon in this process, on a replayed recording."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from structlog.testing import capture_logs

from palomar_proto.flow.flow_pb2 import AgentEventType
from palomar_proto.observer import observer_pb2
from palomar_proto.observer.observer_pb2_grpc import ObserverStub
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_proto.palomar.v1.recordings_pb2_grpc import RecordingsStub
from palomar_server.daemon import Daemon
from palomar_server.hooks import HookError
from palomar_server.monitor_socket import MonitorServer
from palomar_server.samples import DEMO
from palomar_server.settings import Settings, SettingsError
from palomar_server.testing import batch_of, packet, trace_payload

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from pathlib import Path

    from palomar_proto.flow.flow_pb2 import AgentEvent
    from palomar_proto.observer.observer_pb2_grpc import ObserverAsyncStub
    from palomar_server.hooks import FlowBatch
    from palomar_server.table import Mask


def settings(tmp_path: Path, **values: object) -> Settings:
    chosen = {
        "socket": tmp_path / "palomar.sock",
        "replay": DEMO,
        "speed": "max",
        "recordings_directory": tmp_path / "recordings",
        "database_url": f"sqlite+aiosqlite:///{tmp_path}/catalogue.db",
        **values,
    }
    return Settings.model_validate(chosen)


@asynccontextmanager
async def running(chosen: Settings) -> AsyncIterator[ObserverAsyncStub]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Daemon(chosen).run(), name="daemon")
        async with grpc.aio.insecure_channel(f"unix:{chosen.socket}") as channel:
            await asyncio.wait_for(channel.channel_ready(), 20)
            yield ObserverStub(channel)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 20)


async def summaries(stub: ObserverAsyncStub) -> list[str]:
    """Those of the first flow, for which this waits, and of all that are there by then."""
    follow = stub.GetFlows(observer_pb2.GetFlowsRequest(follow=True, number=1))
    await anext(aiter(follow))
    follow.cancel()
    return [
        response.flow.Summary async for response in stub.GetFlows(observer_pb2.GetFlowsRequest())
    ]


async def test_replayed_recording_is_served_until_a_signal_comes(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as stub:
        found = await summaries(stub)
    assert any("NETFILTER_DROP at " in summary for summary in found)
    assert not (tmp_path / "palomar.sock").exists()


async def test_flows_tell_the_node_and_its_labels(tmp_path: Path) -> None:
    async with running(settings(tmp_path, node_labels="zone=b, arch=amd64")) as stub:
        await summaries(stub)
        (response,) = [
            one async for one in stub.GetFlows(observer_pb2.GetFlowsRequest(first=True, number=1))
        ]
    assert [*response.flow.node_labels] == ["arch=amd64", "zone=b"]
    assert response.flow.node_name
    assert response.flow.emitter.name == "palomar"


class DropsOnly:
    """A hook that stops everything but drops."""

    def on_decoded_flow(self, batch: FlowBatch) -> Mask:
        mask: Mask = batch.rows["verdict"] == 2
        return mask


async def test_hook_from_the_settings_is_loaded(tmp_path: Path) -> None:
    hook = f"{__name__}:{DropsOnly.__name__}"
    async with running(settings(tmp_path, hooks=(hook,))) as stub:
        found = await summaries(stub)
    assert found
    assert all(" at " in summary for summary in found)


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution whose hook `drops` stops everything but drops."""
    monkeypatch.syspath_prepend(tmp_path)
    directory = tmp_path / "acme-1.0.dist-info"
    directory.mkdir()
    (directory / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    line = f"drops = {__name__}:{DropsOnly.__name__}"
    (directory / "entry_points.txt").write_text(f"[palomar.hooks]\n{line}\n")


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(
    ("chosen", "loaded"), [({}, True), ("drops", True), ("none", False), ("", False)]
)
async def test_hooks_of_distributions_are_loaded_as_the_settings_say(
    tmp_path: Path, chosen: object, *, loaded: bool
) -> None:
    values = {"hook_entry_points": chosen} if chosen != {} else {}
    async with running(settings(tmp_path, **values)) as stub:
        found = await summaries(stub)
    assert found
    assert all(" at " in summary for summary in found) == loaded


@pytest.mark.usefixtures("offered")
def test_a_hook_that_no_distribution_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HookError, match=r"has a hook 'drop' .*; there: drops"):
        Daemon(
            Settings.model_validate(
                {
                    "socket": tmp_path / "palomar.sock",
                    "cilium_socket": tmp_path / "cilium.sock",
                    "hook_entry_points": "drop",
                }
            )
        )


async def scraped(port: int) -> str:
    """The answer to a request of Prometheus."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()


async def test_metrics_are_served_where_the_settings_say(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with running(settings(tmp_path, metrics_listen="127.0.0.1:0")) as stub:
            await summaries(stub)
            [port] = [one["metrics_port"] for one in logs if one["event"] == "serving"]
            answer = await scraped(port)
    head, _, text = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 ")
    for name in ("palomar_ring", "palomar_streams", "palomar_hook", "palomar_grpc"):
        assert f"# HELP {name}" in text
    with pytest.raises(ConnectionRefusedError):
        await scraped(port)


async def test_where_nothing_is_captured_recordings_are_listed_but_none_is_begun(
    tmp_path: Path,
) -> None:
    chosen = settings(tmp_path)
    async with (
        running(chosen),
        grpc.aio.insecure_channel(f"unix:{chosen.socket}") as channel,
    ):
        recordings = RecordingsStub(channel)
        assert not (await recordings.List(recordings_pb2.ListRequest())).recordings
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await recordings.Start(recordings_pb2.StartRequest())
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    # The database has not even been opened.
    assert not (tmp_path / "catalogue.db").exists()
    assert not (tmp_path / "recordings").exists()


async def test_namespaces_of_replayed_flows_are_told(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as stub:
        await summaries(stub)
        flows = [
            one.flow async for one in stub.GetFlows(observer_pb2.GetFlowsRequest(number=1_000))
        ]
        request = observer_pb2.GetNamespacesRequest()
        told = {one.namespace for one in (await stub.GetNamespaces(request)).namespaces}
    seen = {end.namespace for flow in flows for end in (flow.source, flow.destination)}
    assert told == seen - {""} != set()


def test_a_daemon_needs_a_source(tmp_path: Path) -> None:
    chosen = Settings(socket=tmp_path / "palomar.sock", live=False)
    with pytest.raises(SettingsError, match="give --cilium-socket PATH or --replay FILE"):
        Daemon(chosen)


def test_a_daemon_is_not_its_own_source(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    values = {
        "socket": tmp_path / "palomar.sock",
        "cilium_socket": tmp_path / "link" / "monitor.sock",
    }
    with pytest.raises(SettingsError, match="cannot be its own source"):
        Daemon(Settings.model_validate(values))
    # Without a monitor socket that path is somebody else's.
    Daemon(Settings.model_validate({**values, "monitor_clients_max": 0}))


def monitored(path: Path) -> MonitorServer:
    """Something that talks like a Cilium agent."""
    server = MonitorServer(path)
    server.start()
    return server


async def started(stub: ObserverAsyncStub) -> AgentEvent:
    follow = stub.GetAgentEvents(observer_pb2.GetAgentEventsRequest(number=1, follow=True))
    response = await anext(aiter(follow))
    follow.cancel()
    return response.agent_event


async def test_events_of_a_cilium_agent_are_served(tmp_path: Path) -> None:
    cilium = monitored(tmp_path / "cilium.sock")
    try:
        chosen = Settings(
            socket=tmp_path / "palomar.sock",
            cilium_socket=tmp_path / "cilium.sock",
            node_name="node-1",
        )
        async with running(chosen) as stub:
            assert (await started(stub)).type == AgentEventType.AGENT_STARTED
            await connected(cilium, clients=1)
            cilium.on_batch(batch_of([trace_payload(packet())]))
            [summary] = await summaries(stub)
            assert summary == "TCP Flags: SYN"
        assert not (tmp_path / "monitor.sock").exists()
    finally:
        cilium.close()


async def connected(server: MonitorServer, clients: int) -> None:
    async with asyncio.timeout(20):
        while server.clients != clients:
            await asyncio.sleep(0.01)


async def first_summary(stream: AsyncIterable[observer_pb2.GetFlowsResponse]) -> str:
    async with asyncio.timeout(20):
        return (await anext(aiter(stream))).flow.Summary


async def test_on_demand_a_source_is_taken_while_somebody_follows(tmp_path: Path) -> None:
    cilium = monitored(tmp_path / "cilium.sock")
    try:
        chosen = Settings(
            socket=tmp_path / "palomar.sock",
            cilium_socket=tmp_path / "cilium.sock",
            capture="on-demand",
        )
        async with running(chosen) as stub:
            follow = stub.GetFlows(observer_pb2.GetFlowsRequest(follow=True))
            async with asyncio.TaskGroup() as tasks:
                first = tasks.create_task(first_summary(follow), name="first")
                await connected(cilium, clients=1)
                cilium.on_batch(batch_of([trace_payload(packet())]))
            assert first.result() == "TCP Flags: SYN"
            follow.cancel()
            await connected(cilium, clients=0)
            # A monitor client is one who wants events, too.
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "monitor.sock"))
                await connected(cilium, clients=1)
            await connected(cilium, clients=0)
    finally:
        cilium.close()


async def test_without_clients_there_is_no_monitor_socket(tmp_path: Path) -> None:
    async with running(settings(tmp_path, monitor_clients_max=0)):
        assert not (tmp_path / "monitor.sock").exists()
    async with running(settings(tmp_path)):
        assert (tmp_path / "monitor.sock").stat().st_mode & 0o777 == 0o600


async def test_a_monitor_socket_that_cannot_be_made_ends_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    chosen = settings(tmp_path, monitor_socket=tmp_path / "file" / "monitor.sock")
    with pytest.raises(OSError, match=r"^monitor_socket: .*file"):
        await Daemon(chosen).run()
    assert not (tmp_path / "palomar.sock").exists()
    assert not [one.name for one in threading.enumerate() if one.name.startswith("palomar-agent")]
