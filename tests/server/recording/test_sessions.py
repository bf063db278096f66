from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_server.errors import Exhausted, NotReady, Stopping
from palomar_server.peer import OWN
from palomar_server.recording.dispatcher import Dispatcher
from tests.server.recording.recording_testbed import RecordingNode, frame

if TYPE_CHECKING:
    from pathlib import Path

    from palomar_server.recording.subscription import Subscription


class Audience:
    """Counts who follows."""

    def __init__(self) -> None:
        self.following = 0

    def acquire(self) -> None:
        self.following += 1

    def release(self) -> None:
        self.following -= 1


class SlowFeed:
    """Takes its time to begin."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.removed = 0

    def add(self, _: Subscription) -> None:
        self.loop.call_soon_threadsafe(self.asked.set)
        asyncio.run_coroutine_threadsafe(self.go_on.wait(), self.loop).result()

    def remove(self, _: Subscription) -> None:
        self.removed += 1


async def test_the_audience_is_told_while_flows_are_needed(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    audience = Audience()
    async with node.running() as recorder:
        dispatcher = recorder.sessions._feed
        assert isinstance(dispatcher, Dispatcher)
        recorder.sessions.connect(dispatcher, audience)
        plain = await recorder.start(recordings_pb2.StartRequest(), OWN)
        assert audience.following == 0
        request = recordings_pb2.StartRequest()
        request.filter.whitelist.add(source_label=["app=web"])
        by_flow = await recorder.start(request, OWN)
        assert audience.following == 1
        await recorder.stop(by_flow.id, OWN)
        await recorder.stop(plain.id, OWN)
        assert audience.following == 0


async def test_counts_are_of_all_recordings_ended_or_not(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        first = await recorder.start(recordings_pb2.StartRequest(), OWN)
        node.push(frame())
        await recorder.stop(first.id, OWN)
        second = await recorder.start(recordings_pb2.StartRequest(), OWN)
        node.push(frame(), frame())
        await node.until_captured(second.id, 2)
        assert recorder.sessions.counts["captured"] == (3, 3 * len(frame()))
        assert recorder.sessions.ends["stopped"] == 1
        while recorder.sessions.file_bytes == 0:
            await asyncio.sleep(0)  # it is written by a thread
    assert recorder.sessions.ends["shutdown"] == 1
    assert recorder.sessions.counts["written"] == (3, 3 * len(frame()))


async def test_one_whose_caller_goes_while_it_begins_ends_when_it_has_begun(
    tmp_path: Path,
) -> None:
    node = RecordingNode(tmp_path)
    async with node.running(connected=False) as recorder:
        feed = SlowFeed()
        recorder.sessions.connect(feed)
        begun = recorder.start(recordings_pb2.StartRequest(), OWN)
        starting = asyncio.get_running_loop().create_task(begun)
        await feed.asked.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        (session,) = recorder.sessions
        feed.go_on.set()
        ended = await node.until_ended(session.recording.id)
    assert ended.end == recordings_pb2.RECORDING_END_CALLER_GONE
    assert feed.removed == 1


async def test_no_recording_begins_once_all_are_to_end(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        await recorder.sessions.close()
        with pytest.raises(Stopping):
            await recorder.start(recordings_pb2.StartRequest(), OWN)


async def test_a_directory_that_is_not_fit_is_told(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    node.directory.mkdir(mode=0o777)
    node.directory.chmod(0o777)
    async with node.running() as recorder:
        with pytest.raises(NotReady, match="0700"):
            await recorder.start(recordings_pb2.StartRequest(), OWN)
        assert len(recorder.sessions) == 0


async def test_recordings_that_begin_at_once_are_no_more_than_allowed(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path, recordings_max=3)
    async with node.running() as recorder:
        outcomes = await asyncio.gather(
            *(recorder.start(recordings_pb2.StartRequest(), OWN) for _ in range(5)),
            return_exceptions=True,
        )
        refused = [one for one in outcomes if isinstance(one, Exhausted)]
        assert (len(refused), len(recorder.sessions)) == (2, 3)
        node.push(frame())
        for session in recorder.sessions:
            ended = await recorder.stop(session.recording.id, OWN)
            assert ended.counts.written.packets == 1


async def test_one_whose_end_cannot_be_noted_is_under_way_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def finish(_: object) -> None:
        raise ValueError("a fault of ours")

    node = RecordingNode(tmp_path, recordings_max=1)
    async with node.running() as recorder:
        monkeypatch.setattr(recorder._archive, "finish", finish)
        started = await recorder.start(recordings_pb2.StartRequest(), OWN)
        await recorder.stop(started.id, OWN)
        assert (len(recorder.sessions), recorder.sessions.ends["stopped"]) == (0, 1)
        await recorder.start(recordings_pb2.StartRequest(), OWN)
