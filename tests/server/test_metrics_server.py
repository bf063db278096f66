from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from structlog.testing import capture_logs

from palomar_server.metrics import Metrics
from palomar_server.metrics_server import REQUEST_BYTES_MAX, MetricsServer
from palomar_server.testing import Core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from prometheus_client.metrics_core import Metric


class Moody(Collector):
    """Fails at times."""

    def __init__(self) -> None:
        self.fails = True

    def collect(self) -> Iterable[Metric]:
        if self.fails:
            raise LookupError("not today")
        return []

    def describe(self) -> Iterable[Metric]:
        return []


@contextlib.asynccontextmanager
async def serving(
    metrics: Metrics | None = None, listen: str = "127.0.0.1:0", **limits: float
) -> AsyncIterator[MetricsServer]:
    metrics = Metrics(process=False) if metrics is None else metrics
    server = MetricsServer(metrics.registry, listen, **limits)  # type: ignore[arg-type]
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def ask(server: MetricsServer, request: bytes, host: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection(host, server.port)
    writer.write(request)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def get(path: str = "/metrics", *headers: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: one", *headers, "", "")).encode()


async def test_metrics_are_served_as_text() -> None:
    metrics = Metrics()
    core = Core()
    metrics.add_ring(core.ring)
    async with serving(metrics) as server:
        head, _, body = (await ask(server, get("/metrics?name=x"))).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Type: text/plain; version=" in head
    assert f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n"
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert "palomar_ring_events" in names


async def test_openmetrics_are_served_to_those_who_want_them() -> None:
    accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    async with serving() as server:
        answer = await ask(server, get("/metrics", accept))
    assert b"Content-Type: application/openmetrics-text; version=1.0.0" in answer
    assert answer.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/"), b"404"),
        (get("/metrics/x"), b"404"),
        (get().replace(b"GET", b"POST"), b"405"),
        (get().replace(b"GET", b"HEAD"), b"405"),
        (b"\r\n\r\n", b"400"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"\x16\x03\x01\xff\xfe\r\n\r\n", b"400"),
        (get("/metrics", "X: " + "x" * REQUEST_BYTES_MAX), b"431"),
    ],
)
async def test_anything_else_is_refused(request_bytes: bytes, status: bytes) -> None:
    async with serving() as server:
        answer = await ask(server, request_bytes)
    # Of a request that is far too long the rest is not read, and the answer may be lost with it.
    assert answer[:12] in (
        b"HTTP/1.1 " + status,
        b"" if status == b"431" else b"HTTP/1.1 " + status,
    )


async def test_a_client_that_says_nothing_is_cut() -> None:
    async with serving(timeout_s=0.05) as server:
        assert await ask(server, b"GET /metr") == b""
        assert (await ask(server, get())).startswith(b"HTTP/1.1 200")


async def test_a_client_beyond_the_limit_is_cut_and_counted() -> None:
    async with serving(connections_max=1) as server:
        _, waiting = await asyncio.open_connection("127.0.0.1", server.port)
        while not server._connections:
            await asyncio.sleep(0.001)
        assert await ask(server, get()) == b""
        assert server.refused == 1
        waiting.close()


async def test_a_collector_that_fails_is_logged_and_the_server_serves_on() -> None:
    metrics = Metrics(process=False)
    moody = Moody()
    metrics.registry.register(moody)
    async with serving(metrics) as server:
        with capture_logs() as logs:
            assert (await ask(server, get())).startswith(b"HTTP/1.1 500")
        assert logs[0]["log_level"] == "error"
        moody.fails = False
        assert (await ask(server, get())).startswith(b"HTTP/1.1 200")


async def test_stopping_cuts_those_who_are_connected() -> None:
    async with serving() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        while not server._connections:
            await asyncio.sleep(0.001)
        await server.stop()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_an_address_that_is_taken_is_named() -> None:
    async with serving() as server:
        with pytest.raises(OSError, match=f"metrics_listen 127.0.0.1:{server.port}: "):
            await MetricsServer(Metrics(process=False).registry, f"127.0.0.1:{server.port}").start()


async def test_ipv6_addresses_stand_in_brackets() -> None:
    async with serving(listen="[::1]:0") as server:
        assert (await ask(server, get(), "::1")).startswith(b"HTTP/1.1 200")


async def test_a_header_that_is_not_understood_gets_the_usual_text() -> None:
    header = "Accept: application/openmetrics-text;version=a.b"
    async with serving() as server:
        answer = await ask(server, get("/metrics", header))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"Content-Type: text/plain" in answer
