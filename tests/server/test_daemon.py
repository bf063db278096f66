"""A whole daemon in this process, on a replayed recording."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from palomar_bpf.settings import CaptureSettings
from palomar_proto.observer import observer_pb2
from palomar_proto.observer.observer_pb2_grpc import ObserverStub
from palomar_server.daemon import Daemon, capture_settings, inventory_names
from palomar_server.inventory import Inventory, InventoryService
from palomar_server.samples import DEMO
from palomar_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from palomar_proto.observer.observer_pb2_grpc import ObserverAsyncStub
    from palomar_server.hooks import FlowBatch
    from palomar_server.table import Mask


def settings(tmp_path: Path, **values: object) -> Settings:
    chosen = {"socket": tmp_path / "palomar.sock", "replay": DEMO, "speed": "max", **values}
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


def test_capture_settings_are_those_of_the_daemon(tmp_path: Path) -> None:
    chosen = capture_settings(settings(tmp_path, interface=("veth*",), snaplen_bytes=256))
    assert chosen == CaptureSettings(interfaces=("veth*",), snaplen_bytes=256)


def test_inventory_names_are_found_by_address_and_port() -> None:
    service = InventoryService(name="web", namespace="shop", ips=("192.0.2.9",), ports=(80,))
    names = inventory_names(
        Inventory(services=(service,), names={"192.0.2.1": ("db.example.org",)})
    )
    mapped = 0xFFFF_0000_0000 | 0xC000_0209
    found = names.service((0, mapped), 80)
    assert found is not None
    assert (found.name, found.namespace) == ("web", "shop")
    assert names.service((0, mapped), 81) is None
    assert names.dns((0, 0xFFFF_C000_0201)) == ("db.example.org",)
