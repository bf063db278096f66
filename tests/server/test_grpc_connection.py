"""What a client may do to its connection, and what it may not."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from typing import TYPE_CHECKING

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from palomar_server.grpc_connection import ConnectionLimits
from tests.server.grpc_testbed import QUICK, Transport, until
from tests.server.http2_client import STATUS, Http2Client, prefix

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FLOWS = "/observer.Observer/GetFlows"
FOLLOW = b"\0\0\0\0\x02\x18\x01"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "palomar.sock"


@pytest.fixture
async def served(path: Path) -> AsyncIterator[Transport]:
    async with Transport(path).serving() as served:
        yield served


async def is_well(path: Path) -> None:
    """Others are still answered."""
    async with Http2Client(path) as client:
        headers, _ = await client.answer(client.request())
        assert headers["grpc-status"] == "0"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


ODD = {
    "no HTTP/2": b"GET / HTTP/1.1\r\n\r\n",
    "data on no stream": PREFACE + SETTINGS + frame(0, 0, 1, b"x"),
    "data on stream 0": PREFACE + SETTINGS + frame(0, 0, 0, b"x"),
    "an even stream": PREFACE + SETTINGS + frame(1, 5, 2, b"\x82"),
    "a frame too large": PREFACE + SETTINGS + b"\xff\xff\xff\x00\0\0\0\0\x01",
    "headers that are none": PREFACE + SETTINGS + frame(1, 5, 1, b"\xff" * 40),
    "a naked continuation": PREFACE + SETTINGS + frame(9, 4, 1, b"\x82"),
    "continuations without end": PREFACE
    + SETTINGS
    + frame(1, 0, 1, b"\x82")
    + frame(9, 0, 1, b"\x82") * 100,
    "a promise": PREFACE + SETTINGS + frame(5, 4, 1, b"\0\0\0\x02\x82"),
    "settings out of range": PREFACE + frame(4, 0, 0, b"\0\x04\xff\xff\xff\xff"),
    "settings cut off": PREFACE + frame(4, 0, 0, b"\0\x04\xff"),
    "a window that overflows": PREFACE + SETTINGS + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "a reset of nothing": PREFACE + SETTINGS + frame(3, 0, 5, b"\0\0\0\0"),
    "a ping of the wrong size": PREFACE + SETTINGS + frame(6, 0, 0, b"x"),
    "too much padding": PREFACE + SETTINGS + frame(1, 0xD, 1, b"\xff\x82"),
    "a goaway": PREFACE + SETTINGS + frame(7, 0, 0, b"\0" * 8),
}


@pytest.mark.parametrize("what", ODD)
async def test_one_that_breaks_the_protocol_loses_its_connection_only(
    served: Transport, path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Http2Client(path) as other:
        await other.answer(other.request())
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(ODD[what])
        while await reader.read(1 << 16):
            pass
        writer.close()
        headers, _ = await other.answer(other.request())
        assert headers["grpc-status"] == "0"
    await until(lambda: not served.server.connections)
    assert served.server.violations == (what != "a goaway")
    # asyncio would log what comes out of a protocol.
    assert not caplog.records


async def test_frames_at_random_harm_nobody(
    served: Transport, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dice = random.Random(4)  # noqa: S311 - the same ones each time
    for _ in range(300):
        frames = [
            frame(dice.randrange(12), dice.randrange(256), dice.randrange(6), dice.randbytes(size))
            for size in (dice.randrange(40) for _ in range(20))
        ]
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(PREFACE + SETTINGS + b"".join(frames))
        writer.write_eof()
        while await reader.read(1 << 16):
            pass
        writer.close()
    await is_well(path)
    assert not caplog.records


async def test_frames_of_an_unknown_kind_are_passed_over(served: Transport, path: Path) -> None:
    async with Http2Client(path) as client:
        client.raw(frame(0xF0, 0, 0, b"grease"))
        headers, _ = await client.answer(client.request())
        assert headers["grpc-status"] == "0"


async def test_a_client_that_says_nothing_is_cut(served: Transport, path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    while await reader.read(1 << 16):
        pass
    writer.close()
    assert served.server.violations == 1


async def test_a_client_that_greeted_may_be_silent(served: Transport, path: Path) -> None:
    async with Http2Client(path) as client:
        await asyncio.sleep(3 * QUICK.request_timeout_s)
        headers, _ = await client.answer(client.request())
        assert headers["grpc-status"] == "0"


async def test_pings_are_answered(served: Transport, path: Path) -> None:
    async with Http2Client(path) as client:
        client.http2.ping(b"12345678")
        client.flush()
        while not any(type(event).__name__ == "PingAckReceived" for event in client.events):
            await client.read()


async def test_one_that_pings_and_does_not_read_is_cut(path: Path) -> None:
    async with Transport(path).serving() as served:
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(path))
        client.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, PREFACE + SETTINGS)
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            await loop.sock_sendall(client, frame(6, 0, 0, b"12345678") * 1_000_000)
        client.close()
        assert served.server.violations == 1
        await is_well(path)


async def test_headers_beyond_the_limit_cut_the_connection(served: Transport, path: Path) -> None:
    async with Http2Client(path) as client:
        client.request(headers={"x-long": "x" * QUICK.header_bytes_max})
        await client.until_closed()
    assert served.server.violations == 1
    await is_well(path)


async def test_as_many_streams_as_told_may_be_open_and_no_more(path: Path) -> None:
    limits = ConnectionLimits(streams_max=200)
    async with Transport(path, limits=limits).serving() as served, Http2Client(path) as client:
        await client.answer(client.request())
        assert client.http2.remote_settings.max_concurrent_streams == 200
        for _ in range(200):
            client.request(FOLLOW, path=FLOWS)
        await until(lambda: served.answers.open == 200)
        client.http2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 201
        client.http2.remote_settings.acknowledge()
        client.request(FOLLOW, path=FLOWS)
        await client.until_closed()
        await until(lambda: not served.answers.open)


async def test_calls_cancelled_as_fast_as_made_cost_the_connection(path: Path) -> None:
    limits = ConnectionLimits(streams_max=100, resets_per_s=1)
    async with Transport(path, limits=limits).serving() as served, Http2Client(path) as client:
        for _ in range(110):
            stream = client.request(FOLLOW, path=FLOWS)
            client.http2.reset_stream(stream)
        client.flush()
        await client.until_closed()
        assert served.server.violations == 1
        assert not served.answers.open
        assert client.goodbye is not None
        assert client.goodbye.error_code == ErrorCodes.ENHANCE_YOUR_CALM


async def test_unfinished_requests_take_no_more_than_the_windows(
    served: Transport, path: Path
) -> None:
    async with Http2Client(path) as client:
        await client.answer(client.request())
        promised = prefix(QUICK.request_bytes_max)
        room = client.http2.outbound_flow_control_window
        streams = [client.request(promised, end=False) for _ in range(4)]
        left = room - len(streams) * len(promised)
        assert left < 2 * QUICK.request_bytes_max
        for stream in streams:
            while size := min(left, client.http2.local_flow_control_window(stream), 1 << 14):
                client.http2.send_data(stream, bytes(size))
                left -= size
        client.flush()
        # No window is given back for what lies there unfinished, until its time is up.
        codes = [(await client.answer(stream))[0]["grpc-status"] for stream in streams]
        assert set(codes) <= {"0", "4"}
        headers, _ = await client.answer(client.request())
        assert headers["grpc-status"] == "0"


async def test_a_request_in_many_frames_with_empty_ones_between_is_taken(
    served: Transport, path: Path
) -> None:
    async with Http2Client(path) as client:
        stream = client.request(None, end=False)
        for piece in (b"", b"\0\0", b"", b"\0\0\x02", b"\x18", b"", b"\x01", b""):
            client.http2.send_data(stream, piece, pad_length=3)
        client.http2.end_stream(stream)
        client.flush()
        headers, data = await client.answer(stream)
        assert headers["grpc-status"] == "0"
        assert data == b"\0\0\0\0\x02\x08\x05"


async def test_a_slow_reader_holds_up_its_own_stream_only(served: Transport, path: Path) -> None:
    served.answers.lists = [[bytes(1000)] * 100] * 100
    async with Http2Client(path) as client:
        # h2 gives no window of a stream back by itself, so that one stays at 64 KiB.
        client.http2.increment_flow_control_window(1 << 20)
        slow = client.request(b"\0\0\0\0\0", path=FLOWS)
        headers, _ = await client.answer(client.request())
        assert headers["grpc-status"] == "0"
        assert served.answers.open == 1
        assert served.answers.sent < 200
        client.http2.reset_stream(slow)
        client.flush()
        await until(lambda: not served.answers.open)


async def test_all_arrives_in_order_through_small_windows(served: Transport, path: Path) -> None:
    messages = [struct.pack(">I", number) * 50 for number in range(10_000)]
    served.answers.lists = [messages[at : at + 300] for at in range(0, 10_000, 300)]
    async with Http2Client(path) as client:
        streams = [client.request(b"\0\0\0\0\0", path=FLOWS) for _ in range(2)]
        acknowledged = 0
        while served.answers.open or acknowledged < len(streams):
            for event in await client.read():
                if size := getattr(event, "flow_controlled_length", 0):
                    client.http2.acknowledge_received_data(size, event.stream_id)  # type: ignore[attr-defined]
                acknowledged += type(event).__name__ == "StreamEnded"
            client.flush()
        expected = b"".join(prefix(200) + message for message in messages)
        for stream in streams:
            assert (await client.answer(stream))[1] == expected


async def test_a_client_gone_in_the_middle_ends_its_calls_at_once(
    served: Transport, path: Path
) -> None:
    async with Http2Client(path) as client:
        for _ in range(5):
            client.request(FOLLOW, path=FLOWS)
        await until(lambda: served.answers.open == 5)
    await until(lambda: not served.answers.open)
    await until(lambda: not served.server.connections)
    assert served.server.calls == 0
    assert served.server.violations == 0


async def test_a_paused_stream_does_not_keep_others_of_the_connection_from_reading(
    served: Transport, path: Path
) -> None:
    async with Http2Client(path) as client:
        stream = client.request(FOLLOW, path=FLOWS)
        await until(lambda: served.answers.open == 1)
        for _ in range(20):
            headers, _ = await client.answer(client.request(path=STATUS))
            assert headers["grpc-status"] == "0"
        client.http2.reset_stream(stream)
        client.flush()
        await until(lambda: not served.answers.open)
