from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.grpc_testbed import Transport, until
from tests.server.http2_client import STATUS, Http2Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FLOWS = "/observer.Observer/GetFlows"
FOLLOW = b"\0\0\0\0\x02\x18\x01"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "palomar.sock"


@pytest.fixture
async def client(path: Path) -> AsyncIterator[Http2Client]:
    async with Transport(path).serving(), Http2Client(path) as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({":method": "GET"}, "405"),
        ({"content-type": "application/json"}, "415"),
        ({"content-type": None}, "415"),
        ({"content-type": "application/grpc+json"}, "415"),
        ({"content-type": "application/grpc-web"}, "415"),
    ],
)
async def test_what_is_not_grpc_is_told_in_http(
    client: Http2Client, headers: dict[str, str | None], status: str
) -> None:
    answer, _ = await client.answer(client.request(headers=headers))
    assert answer == {":status": status}


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/grpc+proto"},
        {"content-type": "application/grpc; charset=utf-8"},
        {"te": None},
        {"user-agent": "grpc-go/1.75.0", "grpc-accept-encoding": "gzip", "x-any": "1"},
        {"grpc-timeout": "99999999H"},
        {"grpc-encoding": "gzip"},
    ],
)
async def test_headers_that_clients_send_are_borne(
    client: Http2Client, headers: dict[str, str | None]
) -> None:
    answer, _ = await client.answer(client.request(headers=headers))
    assert answer["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("/observer.Observer/GetNodes", "GetNodes not implemented"),
        ("/observer.Observer/Other", "observer.Observer has no method Other"),
        ("/peer.Peer/Notify", "there is no service 'peer.Peer'"),
        ("nonsense", "there is no service ''"),
        (f"{STATUS}/", "observer.Observer has no method ServerStatus/"),
    ],
)
async def test_what_is_not_served_is_named(client: Http2Client, asked: str, text: str) -> None:
    answer, _ = await client.answer(client.request(path=asked))
    assert (answer["grpc-status"], answer["grpc-message"]) == ("12", text)
    assert answer["hubble-server-version"].startswith("1.19.4+palomar.")


@pytest.mark.parametrize("text", ["", "5", "S", "-1S", "123456789S", "1.5S", "1s", "٣S"])
async def test_a_timeout_that_is_none_is_refused(client: Http2Client, text: str) -> None:
    answer, _ = await client.answer(client.request(headers={"grpc-timeout": text}))
    assert answer["grpc-status"] == "3"


async def test_calls_beyond_the_limit_are_refused_until_others_end(path: Path) -> None:
    async with Transport(path, calls_max=3).serving() as served, Http2Client(path) as client:
        streams = [client.request(FOLLOW, path=FLOWS) for _ in range(3)]
        await until(lambda: served.answers.open == 3)
        answer, _ = await client.answer(client.request())
        assert (answer["grpc-status"], served.server.calls_refused) == ("8", 1)
        client.http2.reset_stream(streams[0])
        client.flush()
        await until(lambda: served.server.calls == 2)
        answer, _ = await client.answer(client.request())
        assert answer["grpc-status"] == "0"
