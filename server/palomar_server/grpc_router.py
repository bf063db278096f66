"""Finds what a call's headers ask for, and counts the calls under way."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from palomar_server.grpc_call import ANSWER_HEADERS, GrpcCall
from palomar_server.grpc_connection import ConnectionLostError
from palomar_server.grpc_status import Status, status_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_server.grpc_connection import ConnectionLimits, GrpcConnection, Headers
    from palomar_server.grpc_service import Service

_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])", re.ASCII)
"""As "gRPC over HTTP/2" writes it."""
_UNIT_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_CONTENT_TYPES = (b"application/grpc", b"application/grpc+proto")


class GrpcRouter:
    """Starts the calls of all connections.

    Args:
        services: what can be called.
        limits: what a request may take.
        calls_max: under way at once, of all clients.
    """

    def __init__(
        self, services: Sequence[Service], limits: ConnectionLimits, calls_max: int
    ) -> None:
        self._services = {service.name: service for service in services}
        self._methods = {
            path: method for service in services for path, method in service.methods.items()
        }
        self._limits = limits
        self._calls_max = calls_max
        self._calls: dict[asyncio.Task[None], GrpcCall] = {}
        self.refused = 0
        """Calls for which there was no room."""

    def __len__(self) -> int:
        """Calls under way."""
        return len(self._calls)

    def call(self, connection: GrpcConnection, stream_id: int, headers: Headers) -> GrpcCall | None:
        """Start a call, or answer it at once and return None."""
        named = dict(headers)
        if named.get(b":method") != b"POST":
            _answer(connection, stream_id, [(b":status", b"405")])
            return None
        if named.get(b"content-type", b"").partition(b";")[0] not in _CONTENT_TYPES:
            _answer(connection, stream_id, [(b":status", b"415")])
            return None
        path = named.get(b":path", b"").decode(errors="replace")
        method = self._methods.get(path)
        if method is None:
            _refuse(connection, stream_id, Status.UNIMPLEMENTED, self._missing(path))
            return None
        timeout = named.get(b"grpc-timeout")
        found = _TIMEOUT.fullmatch(timeout) if timeout is not None else None
        if timeout is not None and found is None:
            text = f"grpc-timeout: {timeout!r} is no time"
            _refuse(connection, stream_id, Status.INVALID_ARGUMENT, text)
            return None
        if len(self._calls) >= self._calls_max:
            self.refused += 1
            text = f"{self._calls_max} calls are under way, which is calls_max"
            _refuse(connection, stream_id, Status.RESOURCE_EXHAUSTED, text)
            return None
        deadline_s = int(found[1]) * _UNIT_S[found[2]] if found else None
        call = GrpcCall(connection, stream_id, method, deadline_s, self._limits)
        task = call.start()
        self._calls[task] = call
        task.add_done_callback(self._calls.pop)
        return call

    def _missing(self, path: str) -> str:
        _, _, rest = path.partition("/")
        name, _, method = rest.partition("/")
        service = self._services.get(name)
        if service is None:
            return f"there is no service {name!r}"
        if method in service.method_names:
            return f"{method} not implemented"
        return f"{name} has no method {method}"

    async def wait_ended(self, timeout_s: float) -> None:
        """Wait for the calls that are under way, but no longer than that."""
        if self._calls:
            await asyncio.wait([*self._calls], timeout=timeout_s)

    async def stop(self) -> None:
        """End all calls."""
        for call in self._calls.values():
            call.stop()
        if self._calls:
            await asyncio.wait([*self._calls])


def _refuse(connection: GrpcConnection, stream_id: int, status: Status, text: str) -> None:
    _answer(connection, stream_id, ANSWER_HEADERS + status_headers(status, text))


def _answer(connection: GrpcConnection, stream_id: int, headers: Headers) -> None:
    with suppress(ConnectionLostError):
        connection.send_headers(stream_id, headers, end=True)
