"""Connections to palomard that break: cut by what is between, and with the daemon itself."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

import palomar
from palomar_proto.observer import observer_pb2
from palomar_proto.palomar.v1 import flow_batches_pb2
from palomar_server.encode import FlowEncoder
from palomar_server.flow_batches import FlowBatches
from palomar_server.grpc_server import GrpcServer
from palomar_server.grpc_service import Service
from palomar_server.observer import Observer
from palomar_server.samples import DEMO
from palomar_server.testing import START_NS, Core, flow_rows
from palomar_server.waker import Waker
from tests.client.cable import Cable

from .conftest import Palomard, eventually

if TYPE_CHECKING:
    from pathlib import Path


class Clockwork:
    """A ring behind a socket whose flows are a millisecond apart, over all that is written.

    Args:
        start: Number of the first flow, and its source port; also tells the run from others.
    """

    def __init__(self, start: int = 0) -> None:
        core = Core(capacity=1023)
        encoder = FlowEncoder(core.surroundings, "default/node", (), run_id=start + 1)
        self.ring = core.ring
        self.waker = Waker(asyncio.get_running_loop())
        self._start = start
        observer = Observer(core.ring, encoder, core.surroundings, self.waker)
        batches = FlowBatches(observer, core.ring, encoder, self.waker, node_name="default/node")
        self.services = (
            Service(
                observer_pb2.DESCRIPTOR.services_by_name["Observer"],
                {"GetFlows": observer.get_flows},
            ),
            Service(
                flow_batches_pb2.DESCRIPTOR.services_by_name["FlowBatches"],
                {"GetFlowBatches": batches.get_flow_batches},
            ),
        )

    @property
    def end(self) -> int:
        """Number of the next flow."""
        return self._start + self.ring.next

    def write(self, count: int) -> None:
        numbers = np.arange(self.end, self.end + count, dtype=np.uint64)
        times_ns = START_NS + numbers * np.uint64(1_000_000)
        self.ring.append(flow_rows(count, source_port=numbers, time_ns=times_ns))
        self.waker.notify()


@asynccontextmanager
async def serving(node: Clockwork, socket: Path) -> AsyncIterator[None]:
    server = GrpcServer(node.services, socket=socket, socket_mode=0o600, listen=None)
    await server.start()
    try:
        async with asyncio.timeout(60):
            yield
    finally:
        await server.stop(0)


Start = Callable[..., Palomard]
QUICK = palomar.Reconnect(first_delay_s=0.01, delay_max_s=0.1)


@pytest.mark.parametrize("batches", [True, False])
async def test_a_follower_over_a_bad_line_gets_each_flow_once(
    tmp_path: Path,
    batches: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    node, ports = Clockwork(), list[int]()
    dice = random.Random(5)  # noqa: S311 - a test's
    async with serving(node, tmp_path / "s"):
        with Cable(f"unix:{tmp_path / 's'}") as cable:
            async with (
                palomar.AsyncClient(cable.target, reconnect=QUICK, batches=batches) as client,
                client.observe(all=True, follow=True) as stream,
            ):
                node.write(10)
                async for flow in stream:
                    ports.append(flow.l4.TCP.source_port)
                    if len(ports) == 600:
                        break
                    if len(ports) == node.ring.next:
                        node.write(dice.randrange(1, 60))
                    if dice.random() < 0.03:
                        cable.cut()
                        await asyncio.sleep(0)
                assert stream.gaps
                assert {gap.may_miss_flows for gap in stream.gaps} == {False}
                assert stream.lost_events == 0
        assert cable.connections > 3
    assert ports == list(range(600))


async def test_a_look_back_over_a_bad_line_is_whole(tmp_path: Path) -> None:
    node, sequences, cuts = Clockwork(), list[int](), 0
    node.write(900)
    async with serving(node, tmp_path / "s"):
        with Cable(f"unix:{tmp_path / 's'}") as cable:
            async with palomar.AsyncClient(cable.target, reconnect=QUICK) as client:
                few = palomar.Batching(responses_max=20)
                async for batch in client.flow_batches(last=500, batching=few):
                    sequences += batch.sequences
                    if len(sequences) >= 200 * (cuts + 1):
                        cuts += 1
                        cable.cut()
    assert sequences == list(range(400, 900))
    assert cuts == 2


async def test_what_was_overwritten_meanwhile_is_counted(tmp_path: Path) -> None:
    node, ports = Clockwork(), list[int]()
    gaps: list[palomar.Gap] = []
    async with serving(node, tmp_path / "s"):
        with Cable(f"unix:{tmp_path / 's'}") as cable:
            async with (
                palomar.AsyncClient(cable.target, reconnect=QUICK) as client,
                client.observe(all=True, follow=True, on_gap=gaps.append) as stream,
            ):
                node.write(10)
                async for flow in stream:
                    ports.append(flow.l4.TCP.source_port)
                    if len(ports) == 10:
                        cable.unplug()
                        node.write(1000)
                        node.write(1000)
                        cable.plug()
                    if ports[-1] == 2009:
                        break
    (gap,) = gaps
    assert gap.may_miss_flows
    assert gap.lost_events == stream.lost_events == 2010 - len(ports)
    assert ports == [*range(10), *range(2010 - (len(ports) - 10), 2010)]


@pytest.mark.parametrize("batches", [True, False])
async def test_another_daemon_in_its_place(
    tmp_path: Path,
    batches: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    ports = list[int]()
    async with palomar.AsyncClient(
        f"unix:{tmp_path / 's'}", reconnect=QUICK, batches=batches
    ) as client:
        async with serving(node := Clockwork(), tmp_path / "s"):
            node.write(5)
            stream = client.observe(all=True, follow=True)
            flows = aiter(stream)
            ports += [(await anext(flows)).l4.TCP.source_port for _ in range(5)]
        async with serving(node := Clockwork(start=10), tmp_path / "s"):
            node.write(5)
            ports += [(await anext(flows)).l4.TCP.source_port for _ in range(5)]
            stream.close()
    assert ports == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    (gap,) = stream.gaps
    assert gap.may_miss_flows
    assert gap.lost_events is None
    assert gap.restarted == batches


def test_a_daemon_that_is_killed_and_comes_back(palomard: Start) -> None:
    daemon = palomard("--replay", str(DEMO), "--speed", "max")
    expected = len(eventually(daemon.flows))
    gaps: list[palomar.Gap] = []
    outages: list[palomar.Outage] = []
    with palomar.Client(f"unix:{daemon.socket}", reconnect=QUICK) as client:
        stream = client.observe(
            all=True, follow=True, on_gap=gaps.append, on_reconnect=outages.append
        )
        flows = iter(stream)
        before = [next(flows).uuid for _ in range(expected)]
        daemon.stop(signal.SIGKILL)
        daemon.socket.unlink()
        daemon.start()
        after = [next(flows).uuid for _ in range(expected)]
        stream.close()
    assert len({*before, *after}) == 2 * expected
    assert outages
    (gap,) = gaps
    assert gap.may_miss_flows
    assert gap.lost_events is None
    assert gap.restarted
    assert stream.restarted
