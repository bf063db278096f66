"""A client that says in HTTP/2 what no gRPC library would."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, StreamEnded, StreamReset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

STATUS = "/observer.Observer/ServerStatus"
HEADERS: Mapping[str, str | None] = {
    ":method": "POST",
    ":scheme": "http",
    ":authority": "localhost",
    "te": "trailers",
    "content-type": "application/grpc",
}


def prefix(length: int, *, compressed: bool = False) -> bytes:
    """What stands in front of a message."""
    return struct.pack(">?I", compressed, length)


class Http2Client:
    """A connection on which a test sends what it likes.

    Args:
        path: of the server's socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.http2 = H2Connection(
            H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        )
        self.events: list[Event] = []
        self.closed = False

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_unix_connection(self._path)
        self.http2.initiate_connection()
        self.flush()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.writer.transport.abort()

    def flush(self) -> None:
        """Send what h2 has."""
        self.writer.write(self.http2.data_to_send())

    def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    def request(
        self,
        body: bytes | None = b"\0\0\0\0\0",
        headers: Mapping[str, str | None] = HEADERS,
        *,
        path: str = STATUS,
        end: bool = True,
    ) -> int:
        """Start a call; `headers` are beside or instead of the usual ones, None leaves one out."""
        named = {":path": path, **HEADERS, **headers}
        stream = self.http2.get_next_available_stream_id()
        sent = [(key, value) for key, value in named.items() if value is not None]
        self.http2.send_headers(stream, sent, end_stream=end and body is None)
        if body is not None:
            self.http2.send_data(stream, body, end_stream=end)
        self.flush()
        return stream

    async def read(self) -> list[Event]:
        """What the server says next; notes when it closes."""
        try:
            async with asyncio.timeout(10):
                data = await self.reader.read(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return []
        events = self.http2.receive_data(data)
        self.flush()
        self.events += events
        return events

    async def until_closed(self) -> None:
        """Read until the server cuts the connection."""
        while not self.closed:
            await self.read()

    async def answer(self, stream: int) -> tuple[dict[str, str], bytes]:
        """All headers and trailers of a stream, and its data, when it has ended."""
        while not self.closed:
            mine = [event for event in self.events if getattr(event, "stream_id", None) == stream]
            if any(isinstance(event, StreamEnded | StreamReset) for event in mine):
                break
            await self.read()
        headers: dict[str, str] = {}
        for event in mine:
            headers.update(getattr(event, "headers", None) or ())
        data = b"".join(event.data for event in mine if isinstance(event, DataReceived))
        return headers, data

    @property
    def goodbye(self) -> ConnectionTerminated | None:
        """The GOAWAY that came, if any."""
        return next((one for one in self.events if isinstance(one, ConnectionTerminated)), None)
