import asyncio
import contextlib
import threading
import time
from pathlib import Path

import pytest

from palomar.async_client import AsyncClient
from palomar.client import Client
from palomar.errors import InvalidRequest, Unsupported
from palomar.fake_recordings import FakeRecordings
from palomar.reconnection import Reconnect
from palomar.testing import FakeObserver
from palomar_proto.palomar.v1.recordings_pb2 import RECORDING_END_PACKETS, RECORDING_END_STOPPED
from tests.client.recording_cases import FILE, counts


async def test_a_recording_from_start_to_removal(tmp_path: Path) -> None:
    recordings = FakeRecordings(file=FILE, chunk_bytes=1 << 12, breaks={70_000})
    reconnect = Reconnect(first_delay_s=0, delay_max_s=0.05)
    with FakeObserver(recordings=recordings) as server:
        async with AsyncClient(server.target, reconnect=reconnect) as client:
            recording = await client.start_recording(pod="web", name="web")
            assert (await client.recordings("running")).recordings[0].id == recording.id
            assert (await client.stop_recording(recording.id)).end == RECORDING_END_STOPPED
            path = await client.download_recording(recording.id, tmp_path)
            assert path.read_bytes() == FILE
            await client.delete_recording(recording.id)
            with pytest.raises(InvalidRequest):
                await client.recording(recording.id)


async def test_watching_ends_with_the_recording() -> None:
    recordings = FakeRecordings(counts=[counts(1), counts(2)], end=RECORDING_END_PACKETS)
    with FakeObserver(recordings=recordings) as server:
        async with AsyncClient(server.target) as client:
            recording = await client.start_recording()
            seen = [one async for one in client.watch_recording(recording.id)]
    assert [one.counts.written.packets for one in seen] == [0, 1, 2, 2]


async def test_a_download_that_is_given_up_leaves_what_it_has(tmp_path: Path) -> None:
    recordings = FakeRecordings(file=FILE, chunk_bytes=1 << 8)
    with FakeObserver(recordings=recordings) as server:
        async with AsyncClient(server.target) as client:
            recording = await client.stop_recording((await client.start_recording()).id)
            begun = asyncio.Event()
            loop = asyncio.get_running_loop()

            def progress(there: int, whole: int) -> None:
                if 0 < there < whole:
                    loop.call_soon_threadsafe(begun.set)

            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(
                    client.download_recording(recording.id, tmp_path / "x", on_progress=progress)
                )
                await begun.wait()
                task.cancel()
            assert not (tmp_path / "x").exists()
            assert (tmp_path / f"{recording.id}.partial").stat().st_size > 0
            await client.download_recording(recording.id, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == FILE


async def test_a_download_that_is_given_up_while_it_opens_locks_nobody_out(tmp_path: Path) -> None:
    with FakeObserver(recordings=FakeRecordings(file=FILE)) as server:
        async with AsyncClient(server.target) as client:
            recording = await client.stop_recording((await client.start_recording()).id)
            with (tmp_path / f"{recording.id}.partial").open("wb") as left:
                left.truncate(1 << 26)  # takes a while to read
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.005):
                    await client.download_recording(recording.id, tmp_path / "x")
            async with asyncio.timeout(20):
                while not (tmp_path / "x").exists():
                    with contextlib.suppress(InvalidRequest):  # another download, still
                        await client.download_recording(recording.id, tmp_path / "x", resume=False)
                    await asyncio.sleep(0.01)
    assert (tmp_path / "x").read_bytes() == FILE


async def test_a_download_of_more_than_there_is_may_be_tried_anew_at_once(tmp_path: Path) -> None:
    with FakeObserver(recordings=FakeRecordings(file=FILE)) as server:
        async with AsyncClient(server.target) as client:
            recording = await client.stop_recording((await client.start_recording()).id)
            (tmp_path / f"{recording.id}.partial").write_bytes(FILE + b"more")
            try:
                await client.download_recording(recording.id, tmp_path / "x")
            except InvalidRequest:  # and what is wrong is gone
                await client.download_recording(recording.id, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == FILE


async def test_a_slow_disk_holds_up_nobody_else_when_a_download_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing, go_on = threading.Event(), threading.Event()

    def sync_slowly(_: int) -> None:
        syncing.set()
        go_on.wait(5)

    monkeypatch.setattr("os.fsync", sync_slowly)
    with FakeObserver(recordings=FakeRecordings(file=FILE)) as server:
        async with AsyncClient(server.target) as client:
            recording = await client.stop_recording((await client.start_recording()).id)
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(client.download_recording(recording.id, tmp_path / "x"))
                while not syncing.is_set():
                    await asyncio.sleep(0.001)
                task.cancel()
                began_s = time.monotonic()
                await asyncio.sleep(0.01)
                assert time.monotonic() - began_s < 4
                go_on.set()


async def test_other_servers_record_nothing() -> None:
    with FakeObserver() as server:
        async with AsyncClient(server.target) as client:
            with pytest.raises(Unsupported, match="only palomard records packets"):
                await client.start_recording()


def test_it_has_all_methods_of_the_other_client() -> None:
    methods = {name for name in dir(Client) if not name.startswith("_")}
    assert methods == {name for name in dir(AsyncClient) if not name.startswith("_")}
