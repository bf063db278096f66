"""A server without a ring, for what is the transport's alone."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from palomar_proto.observer import observer_pb2
from palomar_server.grpc_connection import ConnectionLimits
from palomar_server.grpc_server import GrpcServer
from palomar_server.grpc_service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from palomar_server.peer import Peer

QUICK = ConnectionLimits(streams_max=2000, request_timeout_s=0.2, request_bytes_max=1 << 16)


class Answers:
    """Functions of a service, and what has become of their calls."""

    def __init__(self) -> None:
        self.status = observer_pb2.ServerStatusResponse(num_flows=5)
        self.lists: list[list[bytes]] = []
        self.error: Exception | None = None
        self.peers: list[Peer] = []
        self.open = 0
        self.sent = 0
        self.go_on = asyncio.Event()

    async def server_status(
        self, request: observer_pb2.ServerStatusRequest, peer: Peer
    ) -> observer_pb2.ServerStatusResponse:
        self.peers.append(peer)
        if self.error is not None:
            raise self.error
        return self.status

    async def get_flows(
        self, request: observer_pb2.GetFlowsRequest, peer: Peer
    ) -> AsyncGenerator[list[bytes], None]:
        self.open += 1
        try:
            for messages in self.lists:
                yield messages
                self.sent += len(messages)
            if self.error is not None:
                raise self.error
            if request.follow:
                await self.go_on.wait()
        finally:
            self.open -= 1

    def service(self) -> Service:
        descriptor = observer_pb2.DESCRIPTOR.services_by_name["Observer"]
        return Service(descriptor, {"ServerStatus": self.server_status, "GetFlows": self.get_flows})


class Transport:
    """A server of such answers."""

    def __init__(self, path: Path, **values: object) -> None:
        self.answers = Answers()
        chosen = {"socket": path, "socket_mode": 0o600, "listen": None, "limits": QUICK, **values}
        self.server = GrpcServer([self.answers.service()], **chosen)  # type: ignore[arg-type]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Transport]:
        async with asyncio.timeout(60):
            await self.server.start()
            try:
                yield self
            finally:
                await self.server.stop(0)


async def until(condition: object) -> None:
    """Wait until a function says yes."""
    assert callable(condition)
    while not condition():
        await asyncio.sleep(0.001)
