"""The gRPC edge: services, health and reflection, on a unix socket and, if asked, loopback TCP.

HTTP/2 is h2's, a library that only turns bytes into events and back; the sockets are asyncio's. The
gRPC libraries for Python send message by message, which costs more than everything else that
palomard does for a flow: here many messages go out in one write.

GrpcServer          listens, admits clients, stops
├── GrpcConnection  one client: HTTP/2, windows, limits
├── GrpcRouter      from a call's headers to the method
└── GrpcCall        one call: request, function, status
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import structlog

from palomar_server.allowance import Allowance
from palomar_server.grpc_connection import ConnectionLimits, GrpcConnection
from palomar_server.grpc_router import GrpcRouter
from palomar_server.health_service import HealthService
from palomar_server.reflection_service import ReflectionService
from palomar_server.unix_socket import BACKLOG, SocketLock, UnixListener

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from palomar_server.grpc_call import GrpcCall
    from palomar_server.grpc_connection import Headers
    from palomar_server.grpc_service import Service

log = structlog.get_logger(__name__)

_CUT_S = 1.0
"""How long clients may take, after the grace, to read that it is over."""
_DEAD_AFTER = {
    socket.TCP_KEEPIDLE: 60,
    socket.TCP_KEEPINTVL: 15,
    socket.TCP_KEEPCNT: 4,
}
"""Seconds of silence, between probes, and probes. The kernel's, not HTTP/2's pings: they find hosts
that are gone, but leave a client be that was only stopped, and that will go on reading."""
_HUBBLE_HEALTH = "hubble.server.Observer"
"""What the hubble CLI asks the health of."""


class GrpcServer:
    """Serves until stopped.

    Args:
        services: what is served, besides health and reflection.
        socket: path of the unix socket.
        socket_mode: its permissions: whoever may write to it sees all traffic of the node.
        listen: HOST:PORT to serve on as well.
        connections_max: clients connected at once.
        connections_per_peer_max: of one user or host (`Peer.who`), so that no one keeps out all.
        calls_max: under way at once, of all clients.
        limits: what one connection may take.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        socket: Path,
        socket_mode: int,
        listen: str | None,
        connections_max: int = 512,
        connections_per_peer_max: int = 256,
        calls_max: int = 4096,
        limits: ConnectionLimits | None = None,
    ) -> None:
        self._socket = socket
        self._socket_mode = socket_mode
        self._listen = listen
        self._connections_max = connections_max
        self._connections_per_peer_max = connections_per_peer_max
        self._limits = limits or ConnectionLimits()
        names = [service.name for service in services]
        self._health = HealthService(("", _HUBBLE_HEALTH, *names))
        health = self._health.service()
        reflection = ReflectionService((*names, health.name))
        self._router = GrpcRouter(
            (*services, health, *reflection.services()), self._limits, calls_max
        )
        self._connections: set[GrpcConnection] = set()
        self._left = asyncio.Event()
        self._notices = Allowance(5, 1 / 60)
        self._lock: SocketLock | None = None
        self._listener: UnixListener | None = None
        self._servers: list[asyncio.Server] = []
        self.port: int | None = None
        """The TCP port in use, where `listen` was given; differs from it for port 0."""
        self.refused = 0
        """Connections for which there was no room."""
        self.violations = 0
        """Connections cut because the client broke the protocol."""

    @property
    def connections(self) -> int:
        """Clients connected."""
        return len(self._connections)

    @property
    def calls(self) -> int:
        """Calls under way."""
        return len(self._router)

    @property
    def calls_refused(self) -> int:
        """Calls for which there was no room."""
        return self._router.refused

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            SocketInUseError: another daemon holds the socket.
            OSError: a path or port cannot be used; names it.
        """
        self.take_lock()
        try:
            await self._serve()
        except BaseException:
            await self.stop(0)
            raise

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = UnixListener(self._socket, self._socket_mode, self._lock)
        server = await loop.create_unix_server(
            # Without it asyncio would set its own, of 100.
            self._connection,
            sock=self._listener.socket,
            backlog=BACKLOG,
        )
        self._servers.append(server)
        if self._listen:
            host, _, port = self._listen.rpartition(":")
            try:
                server = await loop.create_server(
                    # Two daemons on one port would silently share its clients.
                    self._connection,
                    host.strip("[]"),
                    int(port),
                    reuse_port=False,
                    backlog=BACKLOG,
                )
            except OSError as error:
                reason = error.strerror or str(error)
                raise OSError(f"cannot listen on {self._listen}: {reason}") from error
            self._servers.append(server)
            for listening in server.sockets:
                _find_the_dead(listening)
            self.port = server.sockets[0].getsockname()[1]

    def _connection(self) -> GrpcConnection:
        return GrpcConnection(self, self._limits)

    def take_lock(self) -> None:
        """Make this socket ours, until `stop`; `start` does so too.

        Raises:
            SocketInUseError: another daemon holds the socket.
            OSError: its directory cannot be used.
        """
        if self._lock is None:
            self._lock = SocketLock(self._socket)

    async def stop(self, grace_s: float) -> None:
        """Let calls end within `grace_s` seconds, then cut them; remove the socket."""
        self._health.stop()
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in [*self._connections]:
            connection.go_away()
        await self._router.wait_ended(grace_s)
        await self._router.stop()
        await self._hang_up()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _hang_up(self) -> None:
        for connection in [*self._connections]:
            connection.hang_up()
        try:
            async with asyncio.timeout(_CUT_S):
                await self._wait_alone()
        except TimeoutError:
            log.warning("clients that do not read are cut", clients=len(self._connections))
            for connection in [*self._connections]:
                connection.abort()
            await self._wait_alone()

    async def _wait_alone(self) -> None:
        while self._connections:
            self._left.clear()
            await self._left.wait()

    # What connections tell.

    def opened(self, connection: GrpcConnection) -> bool:
        """See `grpc_connection.Owner`."""
        if not self._servers:
            return False  # it came while the server stopped
        if setting := self._full_for(connection):
            self.refused += 1
            self._notice(
                "a client was turned away", connection, setting=setting, refused=self.refused
            )
            return False
        self._connections.add(connection)
        return True

    def _full_for(self, connection: GrpcConnection) -> str | None:
        """The setting that leaves no room for one more client, if there is one."""
        if len(self._connections) >= self._connections_max:
            return "clients_max"
        who = connection.peer.who
        of_peer = sum(other.peer.who == who for other in self._connections)
        return "clients_max_per_peer" if of_peer >= self._connections_per_peer_max else None

    def closed(self, connection: GrpcConnection, violation: str | None) -> None:
        """Likewise."""
        self._connections.discard(connection)
        self._left.set()
        if violation is not None:
            self.violations += 1
            self._notice(
                "a client was cut", connection, reason=violation, violations=self.violations
            )

    def call(self, connection: GrpcConnection, stream_id: int, headers: Headers) -> GrpcCall | None:
        """Likewise."""
        return self._router.call(connection, stream_id, headers)

    def _notice(self, event: str, connection: GrpcConnection, **values: object) -> None:
        """Log, but not as often as a client likes."""
        if self._notices.take():
            log.warning(event, peer=connection.peer.address, **values)


def _find_the_dead(listening: socket.socket) -> None:
    """Have the kernel look whether hosts that connect here are still there; they inherit it."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _DEAD_AFTER.items():
        listening.setsockopt(socket.IPPROTO_TCP, option, value)
