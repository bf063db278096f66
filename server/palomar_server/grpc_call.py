"""One call: its request comes in, the method's function answers, a status ends it."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing, suppress
from inspect import isawaitable
from typing import TYPE_CHECKING

import structlog
from google.protobuf.message import DecodeError

from palomar_server import __version__
from palomar_server.errors import InvalidRequest, RequestError, Stopping, TooLate
from palomar_server.grpc_connection import ConnectionLostError
from palomar_server.grpc_messages import PREFIX_BYTES, MessageReader, frame
from palomar_server.grpc_service import Shape
from palomar_server.grpc_status import Status, status_headers, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from google.protobuf.message import Message

    from palomar_server.grpc_connection import ConnectionLimits, GrpcConnection
    from palomar_server.grpc_service import Method

log = structlog.get_logger(__name__)

HUBBLE_API_VERSION = "1.19.4"
"""The Hubble release whose API is served; its CLI warns about servers older than itself."""

VERSION_HEADER = (
    b"hubble-server-version",
    f"{HUBBLE_API_VERSION}+palomar.{__version__}".encode(),
)
ANSWER_HEADERS = [
    (b":status", b"200"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"identity"),
    VERSION_HEADER,
]
"""How every answer begins, be it good or bad."""


class GrpcCall:
    """Serves one call; see `grpc_connection.Call` for what its connection tells it.

    Args:
        connection: the client.
        stream_id: the call's stream on it.
        method: what is called.
        deadline_s: how long the client will wait; None for as long as it takes.
        limits: what a request may take.
    """

    def __init__(
        self,
        connection: GrpcConnection,
        stream_id: int,
        method: Method,
        deadline_s: float | None,
        limits: ConnectionLimits,
    ) -> None:
        self._connection = connection
        self._stream_id = stream_id
        self._method = method
        self._deadline_s = deadline_s
        self._request_timeout_s = limits.request_timeout_s
        self._reader = MessageReader(limits.request_bytes_max)
        self._messages: deque[bytes] = deque()
        self._held_bytes = 0
        """Of the request, not yet given back to the client's windows."""
        self._asked = False
        """Whether all that the method wants to know has been taken."""
        self._failed: RequestError | None = None
        self._half_closed = False
        self._arrived = asyncio.Event()
        self._answering = False
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Begin; the task ends with the call and never fails."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name=f"call {self._method.path}")
        # Not the task's own last act: one that is cancelled at once does not even begin.
        self._task.add_done_callback(self._ended)
        return self._task

    def stop(self) -> None:
        """End it: with UNAVAILABLE."""
        self._stopping = True
        self._cancel()

    # What the connection tells.

    def feed(self, data: bytes, window_bytes: int) -> None:
        """See `grpc_connection.Call`."""
        self._held_bytes += window_bytes
        if not self._asked and self._failed is None:
            try:
                self._messages.extend(self._reader.feed(data))
            except RequestError as error:
                self._failed = error
        if self._asked or self._failed is not None:
            self._give_back(self._held_bytes)
        self._arrived.set()

    def half_closed(self) -> None:
        """Likewise."""
        self._half_closed = True
        self._arrived.set()

    def abandoned(self) -> None:
        """Likewise."""
        self._cancel()

    # The call itself.

    async def _run(self) -> None:
        deadline = asyncio.timeout(self._deadline_s)
        status, text = Status.OK, ""
        try:
            async with deadline:
                await self._serve()
        except ConnectionLostError:
            return
        except asyncio.CancelledError:
            if not self._stopping:
                return
            stopping = Stopping()
            status, text = status_of(stopping), str(stopping)
        except RequestError as error:
            status, text = status_of(error), str(error)
        except Exception as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                status, text = Status.DEADLINE_EXCEEDED, "the time that the caller gave has passed"
            else:
                log.exception("a call failed", method=self._method.path)
                status, text = Status.INTERNAL, "palomard failed; its log tells more"
        self._finish(status, text)

    async def _serve(self) -> None:
        peer, function = self._connection.peer, self._method.function
        if self._method.shape is Shape.CONVERSATION:
            async with aclosing(self._requests()) as requests:
                return await self._stream(function(requests, peer))
        request = await self._only_request()
        if self._method.shape is Shape.STREAMING:
            return await self._stream(function(request, peer))
        response = function(request, peer)
        if isawaitable(response):
            response = await response
        self._begin()
        content = frame((response.SerializeToString(),))
        # Goes out with the status.
        return await self._connection.send(self._stream_id, content, flush=False)

    async def _stream(self, lists: AsyncGenerator[list[bytes], None]) -> None:
        self._begin()
        # So that a follower knows that it is one.
        self._connection.flush()
        # Closed at once, not when it is collected, where the client goes away in the middle.
        async with aclosing(lists):
            async for messages in lists:
                await self._connection.send(self._stream_id, frame(messages))
                # Other calls have their turn.
                await asyncio.sleep(0)

    async def _only_request(self) -> Message:
        request = await self._first_request()
        if request is None:
            raise InvalidRequest("request", "", "is missing")
        self._asked = True
        self._give_back(self._held_bytes)
        return request

    async def _requests(self) -> AsyncGenerator[Message, None]:
        """All requests; the first one has its time, how long others may take is the method's."""
        request = await self._first_request()
        while request is not None:
            yield request
            request = await self._next_request()

    async def _first_request(self) -> Message | None:
        try:
            async with asyncio.timeout(self._request_timeout_s):
                return await self._next_request()
        except TimeoutError as error:
            raise TooLate(f"no request came within {self._request_timeout_s:g} s") from error

    async def _next_request(self) -> Message | None:
        while not self._messages:
            if self._failed is not None:
                raise self._failed
            if self._half_closed:
                if self._reader.pending:
                    raise InvalidRequest("request", "", "ends in the middle")
                return None
            self._arrived.clear()
            await self._arrived.wait()
        message = self._messages.popleft()
        self._give_back(PREFIX_BYTES + len(message))
        self._connection.flush()
        try:
            return self._method.request_type.FromString(message)
        except DecodeError as error:
            name = self._method.request_type.DESCRIPTOR.full_name
            raise InvalidRequest("request", message, f"is no {name}") from error

    def _begin(self) -> None:
        self._connection.send_headers(self._stream_id, ANSWER_HEADERS)
        self._answering = True

    def _finish(self, status: Status, text: str) -> None:
        # With the version once more: gRPC's asyncio client for Python loses the headers of an
        # answer that comes all at once.
        begin = [VERSION_HEADER] if self._answering else ANSWER_HEADERS
        with suppress(ConnectionLostError):
            headers = [*begin, *status_headers(status, text)]
            self._connection.send_headers(self._stream_id, headers, end=True)
            self._connection.flush()

    def _give_back(self, size: int) -> None:
        # What came in front of something that cannot be read was given back together with that.
        size = min(size, self._held_bytes)
        self._held_bytes -= size
        self._connection.consumed(self._stream_id, size)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _ended(self, _: asyncio.Task[None]) -> None:
        self._asked = True
        self._give_back(self._held_bytes)
        self._connection.ended(self._stream_id)
