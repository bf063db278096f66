"""`GET /metrics` over HTTP, and nothing else.

In: `Metrics`, and clients that may be slow or hostile. Out: one answer a connection. Runs on the
loop; only the text is made on another thread. Connections, bytes and seconds are bounded.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

import structlog
from prometheus_client.exposition import choose_encoder

from palomar_server import __version__

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = structlog.get_logger(__name__)

PATH = "/metrics"
CONNECTIONS_MAX = 16
"""Scrapes at once: a Prometheus or two with their retries."""
TIMEOUT_S = 10.0
"""From connecting to the end of the answer: Prometheus itself gives up after ten seconds."""
REQUEST_BYTES_MAX = 8_192
"""Of a request's head; scrapes have some 300."""


class MetricsServer:
    """Serves a registry to Prometheus.

    Args:
        registry: what to serve.
        listen: HOST:PORT; an IPv6 address in brackets, port 0 for any.
        connections_max: further ones are cut at once.
        timeout_s: a connection is cut after so long, whatever its state.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        listen: str,
        *,
        connections_max: int = CONNECTIONS_MAX,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._registry = registry
        self._listen = listen
        self._connections_max = connections_max
        self._timeout_s = timeout_s
        self._connections: set[asyncio.StreamWriter] = set()
        # The text is made by one thread at a time, however many ask.
        self._making = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self.port: int | None = None
        """The port in use, once started."""
        self.refused = 0
        """Connections for which there was no room."""

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            OSError: the address cannot be used; names it.
        """
        host, _, port = self._listen.rpartition(":")
        try:
            self._server = await asyncio.start_server(
                self._serve, host.strip("[]"), int(port), limit=REQUEST_BYTES_MAX
            )
        except OSError as error:
            raise OSError(f"metrics_listen {self._listen}: {error.strerror or error}") from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take no more connections and cut those there are."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._connections):
                writer.transport.abort()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self._connections_max:
            self.refused += 1
            writer.transport.abort()
            return
        self._connections.add(writer)
        try:
            async with asyncio.timeout(self._timeout_s):
                writer.write(await self._answer(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            # Whoever is slow or gone learns it by being cut.
            log.debug("a scrape did not come to its end")
        finally:
            writer.transport.abort()
            self._connections.discard(writer)

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        """The response to what a client asks.

        Raises:
            asyncio.IncompleteReadError: it went before it had asked.
        """
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        request, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = request.partition(" ")
        target, _, version = rest.rpartition(" ")
        if not version.startswith("HTTP/1."):
            return _response(HTTPStatus.BAD_REQUEST)
        if target.partition("?")[0] != PATH:
            return _response(HTTPStatus.NOT_FOUND, b"metrics are at /metrics\n")
        if method != "GET":
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, extra="Allow: GET\r\n")
        try:
            # It takes some headers for others than they are, and fails.
            encode, content_type = choose_encoder(_header(lines, "accept"))
        except Exception:  # noqa: BLE001 - whatever it is: this is what everybody understands
            encode, content_type = choose_encoder("")
        try:
            async with self._making:
                text = await asyncio.to_thread(encode, self._registry)
        except Exception:  # the border to collectors of users
            log.exception("metrics cannot be collected")
            return _response(HTTPStatus.INTERNAL_SERVER_ERROR)
        return _response(HTTPStatus.OK, text, content_type)


def _header(lines: list[str], name: str) -> str:
    """Values of a header, all of them if it comes several times."""
    fields = (line.partition(":") for line in lines)
    return ",".join(value.strip() for key, _, value in fields if key.strip().lower() == name)


def _response(
    status: HTTPStatus, body: bytes = b"", content_type: str = "text/plain", extra: str = ""
) -> bytes:
    body = body or f"{status.phrase}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Server: palomar/{__version__}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{extra}Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body
