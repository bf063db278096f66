from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import grpc
import pytest

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_server.recording import session
from palomar_server.recording.download import CHUNK_BYTES
from tests.server.recording.recording_testbed import RecordingNode, frame, next_of, rest

if TYPE_CHECKING:
    from pathlib import Path

PCAP = recordings_pb2.RECORDING_FORMAT_PCAP
CALLER_GONE = recordings_pb2.RECORDING_END_CALLER_GONE


async def test_a_recording_is_started_stopped_found_and_removed(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        calls = node.recordings
        started = await calls.Start(recordings_pb2.StartRequest(name="web"))
        node.push(frame())
        assert (await calls.Get(recordings_pb2.GetRequest(id=started.id))).id == started.id
        stopped = await calls.Stop(recordings_pb2.StopRequest(id=started.id))
        assert stopped.counts.written.packets == 1
        again = await calls.Stop(recordings_pb2.StopRequest(id=started.id))
        assert again == stopped
        listed = await calls.List(recordings_pb2.ListRequest())
        assert [*listed.recordings] == [stopped]
        await calls.Delete(recordings_pb2.DeleteRequest(id=started.id))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await calls.Get(recordings_pb2.GetRequest(id=started.id))
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_file_comes_whole_from_any_place_on(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        calls = node.recordings
        started = await calls.Start(recordings_pb2.StartRequest(format=PCAP))
        node.push(*(frame(60_000) for _ in range(9)))
        stopped = await calls.Stop(recordings_pb2.StopRequest(id=started.id))
        content = (node.directory / stopped.file_name).read_bytes()
        assert len(content) > 2 * CHUNK_BYTES
        for offset in (0, CHUNK_BYTES - 1, len(content)):
            request = recordings_pb2.DownloadRequest(id=started.id, offset=offset)
            first, *pieces = await rest(calls.Download(request))
            assert first.recording == stopped
            got = b""
            for one in pieces:
                assert one.chunk.offset == offset + len(got)
                assert one.chunk.crc32 == zlib.crc32(one.chunk.data)
                got += one.chunk.data
            assert got == content[offset:]
        request = recordings_pb2.DownloadRequest(id=started.id, offset=len(content) + 1)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await calls.Download(request).read()
        assert refused.value.code() == grpc.StatusCode.OUT_OF_RANGE


async def test_a_watcher_sees_the_counts_and_the_end(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        request = recordings_pb2.StartRequest(stop=recordings_pb2.RecordingStop(packets=1))
        started = await node.recordings.Start(request)
        watch = node.recordings.Watch(recordings_pb2.WatchRequest(id=started.id))
        assert (await next_of(watch)).counts.captured.packets == 0
        node.push(frame())
        told = await rest(watch)
        assert told[-1].end == recordings_pb2.RECORDING_END_PACKETS


async def test_a_stream_is_the_file_that_would_have_been_written(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        start = recordings_pb2.StartRequest(
            format=PCAP, stop=recordings_pb2.RecordingStop(packets=12)
        )
        stream = node.recordings.Stream(recordings_pb2.StreamRequest(start=start))
        first = await next_of(stream)
        assert first.recording.status == recordings_pb2.RECORDING_STATUS_RUNNING
        node.push(*(frame(60_000) for _ in range(12)))
        responses = await rest(stream)
        content = b"".join(one.data for one in responses)
        assert len(content) == 24 + 12 * (16 + len(frame(60_000)))
        last = responses[-1].recording
        assert last.end == recordings_pb2.RECORDING_END_PACKETS
        assert last.counts.written.packets == 12
        assert not node.directory.exists()


async def test_a_stream_whose_caller_goes_ends_and_is_noted(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        stream = node.recordings.Stream(recordings_pb2.StreamRequest())
        first = await next_of(stream)
        stream.cancel()
        ended = await node.until_ended(first.recording.id)
        assert ended.end == CALLER_GONE
        assert node.source.rules == {}
        request = recordings_pb2.DownloadRequest(id=ended.id)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await node.recordings.Download(request).read()
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_a_reader_who_does_not_read_loses_packets_and_is_told(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path, recording_queue_bytes=1 << 20)
    async with node.serving():
        stream = node.recordings.Stream(recordings_pb2.StreamRequest())
        first = await next_of(stream)
        for _ in range(20):
            node.push(*(frame(60_000) for _ in range(10)))
            await node.until_captured(first.recording.id, 1)
        await node.until_captured(first.recording.id, 200)
        stopping = node.recordings.Stop(recordings_pb2.StopRequest(id=first.recording.id))
        told = [one.recording for one in await rest(stream) if one.HasField("recording")]
        counts = told[-1].counts
        assert counts.lost_sink_queue.packets > 0
        assert counts.captured.packets == 200
        assert counts.written.packets + counts.lost_sink_queue.packets == 200
        await stopping


async def test_what_is_wrong_with_a_request_is_told(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await node.recordings.Start(recordings_pb2.StartRequest(name="../x"))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "name" in (refused.value.details() or "")


async def test_a_stream_that_nobody_reads_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_PATIENCE_S", 0.05)
    node = RecordingNode(tmp_path)
    async with node.serving():
        stream = node.recordings.Stream(recordings_pb2.StreamRequest())
        first = await next_of(stream)
        node.push(*(frame(60_000) for _ in range(200)))
        await node.until_captured(first.recording.id, 200)
        stopped = await node.recordings.Stop(recordings_pb2.StopRequest(id=first.recording.id))
        assert (stopped.end, stopped.message) == (CALLER_GONE, "the caller has gone")
        assert stopped.counts.lost_disk.packets > 0
        assert stopped.counts.written.packets + stopped.counts.lost_disk.packets == 200
        assert len(node.recorder.sessions) == 0
