from __future__ import annotations

import asyncio
import hashlib
import json
import stat
from typing import TYPE_CHECKING

import pytest

from palomar_bpf.errors import CaptureError
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_server.errors import Exhausted, NotFound, NotReady
from palomar_server.peer import OWN
from palomar_server.recording import recorder as recorder_module
from tests.server.recording.recording_testbed import NODE, RecordingNode, frame, from_source

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

COMPLETE = recordings_pb2.RECORDING_STATUS_COMPLETE
PCAP = recordings_pb2.RECORDING_FORMAT_PCAP
FILE_HEADER_BYTES = 24
RECORD_HEADER_BYTES = 16


async def test_a_recording_has_the_packets_of_its_filter_and_no_others(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        request = recordings_pb2.StartRequest(filter=from_source(1), format=PCAP)
        started = await recorder.start(request, OWN)
        assert started.status == recordings_pb2.RECORDING_STATUS_RUNNING
        node.push(frame(), frame(source=2), frame(20))
        stopped = await recorder.stop(started.id, OWN)
    assert (stopped.status, stopped.end) == (COMPLETE, recordings_pb2.RECORDING_END_STOPPED)
    assert stopped.counts.captured.packets == stopped.counts.written.packets == 2
    content = (node.directory / stopped.file_name).read_bytes()
    sizes = len(frame()) + len(frame(20))
    assert len(content) == FILE_HEADER_BYTES + 2 * RECORD_HEADER_BYTES + sizes
    assert stopped.file_bytes == len(content)
    assert stopped.sha256 == hashlib.sha256(content).hexdigest()
    assert stopped.node_name == NODE
    assert node.source.rules == {}


async def test_files_are_private_and_have_their_facts_beside_them(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        started = await recorder.start(recordings_pb2.StartRequest(name="mine"), OWN)
        assert started.file_name == f"{started.id}_node-1.pcapng"
        assert [one.name for one in node.directory.iterdir()] == [f"{started.file_name}.partial"]
        await recorder.stop(started.id, OWN)
    file = node.directory / started.file_name
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    beside = json.loads((node.directory / f"{file.name}.json").read_text())
    assert (beside["id"], beside["end"]) == (started.id, "RECORDING_END_STOPPED")


async def test_a_recording_ends_with_exactly_the_packets_it_was_to_have(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        request = recordings_pb2.StartRequest(stop=recordings_pb2.RecordingStop(packets=3))
        started = await recorder.start(request, OWN)
        node.push(*(frame() for _ in range(10)))
        ended = await node.until_ended(started.id)
        assert ended.end == recordings_pb2.RECORDING_END_PACKETS
        assert ended.counts.written.packets == 3
        assert ended.expires.ToNanoseconds() > ended.ended.ToNanoseconds()


async def test_a_recording_ends_when_its_time_is_over(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        request = recordings_pb2.StartRequest()
        request.stop.duration.FromMilliseconds(20)
        started = await recorder.start(request, OWN)
        ended = await node.until_ended(started.id)
    assert (ended.status, ended.end) == (COMPLETE, recordings_pb2.RECORDING_END_DURATION)


async def test_one_that_ends_while_the_catalogue_is_read_is_listed_as_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        started = await recorder.start(recordings_pb2.StartRequest(), OWN)
        read = recorder._archive.list

        async def read_slowly(
            statuses: Collection[int], limit: int
        ) -> tuple[list[recordings_pb2.Recording], bool]:
            found = await read(statuses, limit)
            await recorder.stop(started.id, OWN)
            return found

        monkeypatch.setattr(recorder._archive, "list", read_slowly)
        listed = await recorder.list(recordings_pb2.ListRequest(), OWN)
    assert [(one.id, one.status) for one in listed.recordings] == [(started.id, COMPLETE)]


async def test_what_has_ended_is_found_after_a_restart(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        first = await recorder.start(recordings_pb2.StartRequest(), OWN)
        await recorder.stop(first.id, OWN)
        second = await recorder.start(recordings_pb2.StartRequest(), OWN)
    async with node.running() as recorder:
        listed = await recorder.list(recordings_pb2.ListRequest(), OWN)
        assert [one.id for one in listed.recordings] == [second.id, first.id]
        assert listed.recordings[0].end == recordings_pb2.RECORDING_END_SHUTDOWN
        await recorder.delete(first.id, OWN)
        with pytest.raises(NotFound):
            await recorder.get(first.id, OWN)
        assert not (node.directory / first.file_name).exists()


async def test_a_recording_under_way_cannot_be_deleted_or_downloaded(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        started = await recorder.start(recordings_pb2.StartRequest(), OWN)
        with pytest.raises(NotReady, match="stop it first"):
            await recorder.delete(started.id, OWN)
        with pytest.raises(NotReady, match="stop it first"):
            await recorder.download(started.id, 0, OWN)


async def test_a_deletion_whose_caller_goes_is_done_as_a_whole(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        started = await recorder.start(recordings_pb2.StartRequest(), OWN)
        await recorder.stop(started.id, OWN)
        deleting = asyncio.get_running_loop().create_task(recorder.delete(started.id, OWN))
        while any(node.directory.iterdir()):
            await asyncio.sleep(0)
        deleting.cancel()
        await asyncio.wait((deleting,))
        while (await recorder.list(recordings_pb2.ListRequest(), OWN)).recordings:
            await asyncio.sleep(0.01)


async def test_nothing_is_left_of_a_recording_that_cannot_begin(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    node.source.refuse = CaptureError("regeneration failed")
    async with node.running() as recorder:
        with pytest.raises(NotReady, match="regeneration failed"):
            await recorder.start(recordings_pb2.StartRequest(), OWN)
        assert [*node.directory.iterdir()] == []
        listed = await recorder.list(recordings_pb2.ListRequest(), OWN)
        assert [*listed.recordings] == []
        assert len(recorder.sessions) == 0


async def test_no_more_recordings_than_allowed_are_under_way(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path, recordings_max=1)
    async with node.running() as recorder:
        started = await recorder.start(recordings_pb2.StartRequest(), OWN)
        with pytest.raises(Exhausted, match="recordings_max"):
            await recorder.start(recordings_pb2.StartRequest(), OWN)
        await recorder.stop(started.id, OWN)
        await recorder.start(recordings_pb2.StartRequest(), OWN)


async def test_without_a_capture_nothing_can_be_recorded_nor_is_anything_opened(
    tmp_path: Path,
) -> None:
    node = RecordingNode(tmp_path)
    async with node.running(connected=False) as recorder:
        with pytest.raises(NotReady, match="captures no packets"):
            await recorder.start(recordings_pb2.StartRequest(), OWN)
        assert len((await recorder.list(recordings_pb2.ListRequest(), OWN)).recordings) == 0
    assert [*tmp_path.iterdir()] == []


async def test_a_trigger_begins_the_recording_with_what_came_before(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        request = recordings_pb2.StartRequest(format=PCAP)
        request.trigger.filters.add(source_ip=["10.0.0.7"])
        request.trigger.before.FromSeconds(3)
        started = await recorder.start(request, OWN)
        assert started.status == recordings_pb2.RECORDING_STATUS_ARMED
        node.push(frame(), frame(), frame(source=7), frame())
        await node.until_captured(started.id, 4)
        now = await recorder.get(started.id, OWN)
        assert now.status == recordings_pb2.RECORDING_STATUS_RUNNING
        assert now.HasField("triggered")
        stopped = await recorder.stop(started.id, OWN)
    assert stopped.counts.written.packets == 4


async def test_a_watcher_is_told_of_the_end_last(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        request = recordings_pb2.StartRequest(stop=recordings_pb2.RecordingStop(packets=2))
        started = await recorder.start(request, OWN)
        node.push(frame(), frame())
        told = [one async for one in recorder.watch(started.id, OWN)]
        assert told[-1].status == COMPLETE
        assert told[-1].sha256
        again = [one async for one in recorder.watch(started.id, OWN)]
        assert again == [told[-1]]


async def test_a_list_is_no_longer_than_clients_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        for _ in range(3):
            started = await recorder.start(recordings_pb2.StartRequest(), OWN)
        # Times and counts take some bytes more or less.
        monkeypatch.setattr(recorder_module, "_LIST_BYTES_MAX", started.ByteSize() * 5 // 2)
        listed = await recorder.list(recordings_pb2.ListRequest(), OWN)
        assert len(listed.recordings) == 2
        assert listed.truncated


async def test_nothing_has_a_status_that_nobody_knows(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.running() as recorder:
        await recorder.start(recordings_pb2.StartRequest(), OWN)
        request = recordings_pb2.ListRequest()
        request.statuses.extend(range(100, 100_000))  # type: ignore[arg-type]
        assert not (await recorder.list(request, OWN)).recordings
        request.statuses.append(recordings_pb2.RECORDING_STATUS_RUNNING)
        assert len((await recorder.list(request, OWN)).recordings) == 1
