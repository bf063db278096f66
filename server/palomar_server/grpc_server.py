"""The gRPC edge: services, health and reflection, on a unix socket and, if asked, loopback TCP."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import grpc
import structlog
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from palomar_proto.observer import observer_pb2
from palomar_server import __version__
from palomar_server.errors import (
    Exhausted,
    InvalidRequest,
    RequestError,
    Stopping,
    Unsupported,
)
from palomar_server.hang_up import hang_up
from palomar_server.unix_socket import SocketLock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from pathlib import Path

    from palomar_server.observer import Observer

    _Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

log = structlog.get_logger(__name__)

HUBBLE_API_VERSION = "1.19.4"
"""The Hubble release whose API is served; its CLI warns about servers older than itself."""

_REQUEST_BYTES_MAX = 1 << 20
"""A request is filters: a megabyte holds thousands of them."""

_CUT_S = 1.0
"""How long gRPC may take to cut streams: it is a matter of milliseconds, or never done."""

_HEALTH_SERVICES = ("", "observer.Observer", "hubble.server.Observer")
"""The last is what the hubble CLI asks for."""

_VERSION_HEADER = (("hubble-server-version", f"{HUBBLE_API_VERSION}+palomar.{__version__}"),)

_RequestT = TypeVar("_RequestT", bound=Message)

_STATUS = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Stopping: grpc.StatusCode.UNAVAILABLE,
}


def status_of(error: RequestError) -> grpc.StatusCode:
    """The one place where a gRPC status is chosen."""
    return _STATUS[type(error)]


def _bind(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: {error}") from error


def _streaming(
    answer: Callable[[_RequestT], AsyncGenerator[bytes, None]], request_type: type[_RequestT]
) -> grpc.RpcMethodHandler[_RequestT, bytes]:
    """A handler of a stream; a request that is not served ends with the status of its error."""

    # gRPC asks for a function that is an async generator itself.
    async def serve(request: _RequestT, context: _Context) -> AsyncIterator[bytes]:
        await context.send_initial_metadata(_VERSION_HEADER)
        try:
            # Closed at once, not when it is collected, where the client goes away in the middle.
            async with aclosing(answer(request)) as responses:
                async for response in responses:
                    yield response
        except RequestError as error:
            await context.abort(status_of(error), str(error))

    return grpc.unary_stream_rpc_method_handler(serve, request_deserializer=request_type.FromString)


class ObserverService:
    """Binds an `Observer` to gRPC.

    Streams yield ready-made bytes, so the handlers are built by hand and not from the servicer
    base class. Methods of the service that are not here answer UNIMPLEMENTED.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def server_status(
        self,
        _request: observer_pb2.ServerStatusRequest,
        context: _Context,
    ) -> observer_pb2.ServerStatusResponse:
        """ServerStatus."""
        await context.send_initial_metadata(_VERSION_HEADER)
        return self._observer.status()

    def handler(self) -> grpc.GenericRpcHandler:
        """The handlers by method name."""
        observer = self._observer
        return grpc.method_handlers_generic_handler(
            "observer.Observer",
            {
                "GetFlows": _streaming(observer.get_flows, observer_pb2.GetFlowsRequest),
                "GetAgentEvents": _streaming(
                    observer.get_agent_events, observer_pb2.GetAgentEventsRequest
                ),
                "GetDebugEvents": _streaming(
                    observer.get_debug_events, observer_pb2.GetDebugEventsRequest
                ),
                "ServerStatus": grpc.unary_unary_rpc_method_handler(
                    self.server_status,
                    request_deserializer=observer_pb2.ServerStatusRequest.FromString,
                    response_serializer=observer_pb2.ServerStatusResponse.SerializeToString,
                ),
            },
        )


class GrpcServer:
    """Serves until stopped.

    Args:
        observer: what is served.
        socket: path of the unix socket.
        socket_mode: its permissions: whoever may write to it sees all traffic of the node.
        listen: HOST:PORT to serve on as well.
    """

    def __init__(
        self, observer: Observer, *, socket: Path, socket_mode: int, listen: str | None
    ) -> None:
        self._observer = observer
        self._socket = socket
        self._socket_mode = socket_mode
        self._listen = listen
        self._lock: SocketLock | None = None
        self._bound = False
        self._server: grpc.aio.Server | None = None
        self._health = health_aio.HealthServicer()
        self.port: int | None = None
        """The TCP port in use, where `listen` was given; differs from it for port 0."""

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
        server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", _REQUEST_BYTES_MAX),
                # Two daemons on one port would silently share its clients.
                ("grpc.so_reuseport", 0),
            )
        )
        server.add_generic_rpc_handlers((ObserverService(self._observer).handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            ("observer.Observer", "grpc.health.v1.Health", reflection.SERVICE_NAME), server
        )
        self._server = server
        # Nobody may connect between the socket's creation and its mode being set.
        umask = os.umask(0o177)
        try:
            _bind(server, f"unix:{self._socket}")
            self._bound = True
            if self._listen:
                self.port = _bind(server, self._listen)
        finally:
            os.umask(umask)
        await server.start()
        self._socket.chmod(self._socket_mode)
        for service in _HEALTH_SERVICES:
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def take_lock(self) -> None:
        """Make this socket ours, until `stop`; `start` does so too.

        A lock beside it tells, for gRPC would take over a socket that another daemon serves.

        Raises:
            SocketInUseError: another daemon holds the socket.
            OSError: its directory cannot be used.
        """
        if self._lock is None:
            self._lock = SocketLock(self._socket)

    async def stop(self, grace_s: float) -> None:
        """Let streams end within `grace_s` seconds, then cut them; remove the socket."""
        if self._server is not None:
            await self._health.enter_graceful_shutdown()
            async with asyncio.TaskGroup() as tasks:
                stopping = tasks.create_task(self._server.stop(grace_s), name="stop gRPC")
                await asyncio.wait((stopping,), timeout=grace_s + _CUT_S)
                if not stopping.done():
                    # gRPC waits without end for one that does not even take in that it was cut.
                    cut = hang_up(self._socket, self.port)
                    log.warning("clients that do not read are cut", clients=cut)
            self._server = None
        if self._bound:
            # Only then is what lies there our socket, and not a file of somebody else.
            self._socket.unlink(missing_ok=True)
            self._bound = False
        if self._lock is not None:
            self._lock.release()
            self._lock = None
