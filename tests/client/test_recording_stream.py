import threading

import grpc
import pytest

from palomar.async_client import AsyncClient
from palomar.client import Client
from palomar.errors import ServerError
from palomar.fake_recordings import FakeRecordings
from palomar.testing import FakeObserver
from palomar_proto.palomar.v1.recordings_pb2 import (
    RECORDING_END_CALLER_GONE,
    RECORDING_END_PACKETS,
    RECORDING_STATUS_COMPLETE,
    RECORDING_STATUS_RUNNING,
    Recording,
)
from tests.client.recording_cases import FILE, counts


def test_pieces_are_the_file_and_words_stand_beside_them() -> None:
    recordings = FakeRecordings(file=FILE, counts=[counts(3)], end=RECORDING_END_PACKETS)
    told: list[Recording] = []
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        stream = client.record_stream(pod="web", packets_max=3, on_recording=told.append)
        assert stream.recording is None
        assert b"".join(stream) == FILE
    assert told[0].status == RECORDING_STATUS_RUNNING
    assert stream.recording == told[-1]
    assert told[-1].status == RECORDING_STATUS_COMPLETE
    assert recordings.started[0].stop.packets == 3
    assert len(recordings.started[0].filter.whitelist) == 2


def test_one_that_is_stopped_brings_everything() -> None:
    recordings = FakeRecordings(file=FILE)
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        stream = client.record_stream()
        read = b""
        for data in stream:
            read += data
            if len(read) == len(FILE) and stream.recording is not None:
                client.stop_recording(stream.recording.id)
    assert read == FILE
    assert stream.recording is not None
    assert stream.recording.HasField("ended")


def test_closing_it_ends_the_recording() -> None:
    recordings = FakeRecordings(file=FILE)
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        with client.record_stream() as stream:
            assert next(iter(stream))
        assert recordings.left.wait(5)
        [left] = recordings.recordings.values()
    assert left.end == RECORDING_END_CALLER_GONE


def test_closing_it_from_another_thread_is_no_error() -> None:
    recordings = FakeRecordings(file=b"")
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        stream = client.record_stream()
        timer = threading.Timer(0.2, stream.close)
        timer.start()
        assert list(stream) == []
        timer.join()


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.OK])
def test_an_end_without_a_last_word_is_an_error(code: grpc.StatusCode) -> None:
    recordings = FakeRecordings(file=FILE, last_word=code)
    with (
        FakeObserver(recordings=recordings) as server,
        Client(server.target) as client,
        pytest.raises(ServerError, match="without saying why"),
    ):
        list(client.record_stream())


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.OK])
async def test_nor_is_it_one_for_asyncio(code: grpc.StatusCode) -> None:
    recordings = FakeRecordings(file=FILE, last_word=code)
    with FakeObserver(recordings=recordings) as server:
        async with AsyncClient(server.target) as client:
            with pytest.raises(ServerError, match="without saying why"):
                assert [data async for data in client.record_stream()]


async def test_asyncio_reads_the_same() -> None:
    recordings = FakeRecordings(file=FILE, counts=[counts(3)], end=RECORDING_END_PACKETS)
    with FakeObserver(recordings=recordings) as server:
        async with AsyncClient(server.target) as client:
            stream = client.record_stream(pod="web")
            assert b"".join([data async for data in stream]) == FILE
            assert stream.recording is not None
            assert stream.recording.counts == counts(3)


async def test_asyncio_closes_it_too() -> None:
    recordings = FakeRecordings(file=FILE)
    with FakeObserver(recordings=recordings) as server:
        async with AsyncClient(server.target) as client, client.record_stream() as stream:
            async for _ in stream:
                break
        assert recordings.left.wait(5)


def test_what_fails_after_the_last_word_is_no_error() -> None:
    recordings = FakeRecordings(
        file=FILE, end=RECORDING_END_PACKETS, after_word=grpc.StatusCode.UNAVAILABLE
    )
    with FakeObserver(recordings=recordings) as server, Client(server.target) as client:
        assert b"".join(client.record_stream()) == FILE
