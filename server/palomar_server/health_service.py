"""grpc.health.v1.Health: whether palomard serves, for the stock CLI, probes and load balancers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from grpc_health.v1 import health_pb2

from palomar_server.errors import Exhausted, NotFound
from palomar_server.grpc_service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from palomar_server.peer import Peer

_Response = health_pb2.HealthCheckResponse


class HealthService:
    """Says SERVING of some names, and from `stop` on NOT_SERVING.

    Args:
        names: of services; "" stands for all of palomard.
        watches_max: who may watch at once.
    """

    def __init__(self, names: Iterable[str], watches_max: int = 64) -> None:
        self._names = frozenset(names)
        self._watches_max = watches_max
        self._watches = 0
        self._stopping = asyncio.Event()

    def service(self) -> Service:
        """What is served."""
        descriptor = health_pb2.DESCRIPTOR.services_by_name["Health"]
        return Service(descriptor, {"Check": self.check, "Watch": self.watch})

    def stop(self) -> None:
        """From now on nothing is served."""
        self._stopping.set()

    def check(
        self, request: health_pb2.HealthCheckRequest, _peer: Peer
    ) -> health_pb2.HealthCheckResponse:
        """Serve Check.

        Raises:
            NotFound: nothing is known of that name.
        """
        if request.service not in self._names:
            raise NotFound(f"there is no service {request.service}")
        return self._state(request.service)

    async def watch(
        self, request: health_pb2.HealthCheckRequest, _peer: Peer
    ) -> AsyncGenerator[list[bytes], None]:
        """Serve Watch: the state now and at each change.

        Yields:
            Serialised HealthCheckResponse messages.

        Raises:
            Exhausted: too many watch already.
        """
        if self._watches >= self._watches_max:
            raise Exhausted(f"{self._watches_max} watch the health, which is watches_max")
        self._watches += 1
        try:
            stopping = self._stopping.is_set()
            yield [self._state(request.service).SerializeToString()]
            if not stopping:
                await self._stopping.wait()
                yield [self._state(request.service).SerializeToString()]
        finally:
            self._watches -= 1

    def _state(self, name: str) -> health_pb2.HealthCheckResponse:
        if name not in self._names:
            return _Response(status=_Response.SERVICE_UNKNOWN)
        stopping = self._stopping.is_set()
        return _Response(status=_Response.NOT_SERVING if stopping else _Response.SERVING)
