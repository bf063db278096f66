"""Batches from palomard's own services over a socket to the client, cut and resumed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

import palomar
from palomar_proto.observer import observer_pb2
from palomar_proto.palomar.v1 import flow_batches_pb2
from palomar_server.flow_batches import FlowBatches
from palomar_server.grpc_server import GrpcServer
from palomar_server.grpc_service import Service
from palomar_server.observer import Observer
from palomar_server.testing import Core, flow_rows
from palomar_server.waker import Waker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Node:
    """A ring behind a socket; flow N has source port N."""

    def __init__(self) -> None:
        core = Core(capacity=1023)
        self.ring = core.ring
        self.waker = Waker(asyncio.get_running_loop())
        observer = Observer(core.ring, core.encoder, core.surroundings, self.waker)
        batches = FlowBatches(
            observer, core.ring, core.encoder, self.waker, node_name="default/node"
        )
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

    def write(self, count: int) -> None:
        numbers = np.arange(self.ring.next, self.ring.next + count)
        self.ring.append(flow_rows(count, source_port=numbers))
        self.waker.notify()


@asynccontextmanager
async def serving(node: Node, socket: Path) -> AsyncIterator[palomar.AsyncClient]:
    server = GrpcServer(node.services, socket=socket, socket_mode=0o600, listen=None)
    await server.start()
    try:
        async with asyncio.timeout(60), palomar.AsyncClient(f"unix:{socket}") as client:
            yield client
    finally:
        await server.stop(0)


async def test_both_ways_of_asking_give_the_same_flows(tmp_path: Path) -> None:
    node = Node()
    node.write(900)
    async with serving(node, tmp_path / "s") as client:
        batched = [flow async for flow in client.observe(all=True)]
        client._flow_calls.batched = False
        single = [flow async for flow in client.observe(all=True)]
    assert len(batched) == 900
    assert batched == single


async def test_a_follower_that_is_cut_again_and_again_gets_each_flow_once(tmp_path: Path) -> None:
    node = Node()
    token, ports = b"", list[int]()
    async with serving(node, tmp_path / "s") as client:
        for turn in range(20):
            node.write(37)
            stream = client.observe(all=True, follow=True, resume=token)
            async for flow in stream:
                ports.append(flow.l4.TCP.source_port)
                if len(ports) % 29 == 0 or len(ports) == 37 * (turn + 1):
                    break
            token = stream.resume_token
            stream.close()
            assert stream.lost_events == 0
        rest = client.observe(all=True, resume=token)
        ports += [flow.l4.TCP.source_port async for flow in rest]
    assert ports == list(range(37 * 20))


async def test_a_bad_token_is_refused(tmp_path: Path) -> None:
    node = Node()
    async with serving(node, tmp_path / "s") as client:
        with pytest.raises(palomar.InvalidRequest, match="resume_token"):
            [flow async for flow in client.observe(resume=b"nonsense")]
