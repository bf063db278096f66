from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_proto.recorder import recorder_pb2
from palomar_server.peer import OWN
from palomar_server.recording.recorder_service import RecorderService
from tests.server.recording.recording_testbed import NODE, RecordingNode, frame, next_of, rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STOP = recorder_pb2.RecordRequest(stop=recorder_pb2.StopRecording())


def start(**values: object) -> recorder_pb2.RecordRequest:
    """A request for all packets from 10.0.0.1."""
    chosen = {
        "include": [recorder_pb2.Filter(source_cidr="10.0.0.1/32", destination_cidr="0.0.0.0/0")],
        **values,
    }
    return recorder_pb2.RecordRequest(start=recorder_pb2.StartRecording(**chosen))  # type: ignore[arg-type]


async def only(node: RecordingNode) -> recordings_pb2.Recording:
    """The node's one recording."""
    listed = await node.recorder.list(recordings_pb2.ListRequest(), OWN)
    (recording,) = listed.recordings
    return recording


async def test_a_recording_runs_until_it_is_stopped_and_nothing_is_missing(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        call = node.stock.Record()
        await call.write(start())
        first = await next_of(call)
        assert first.node_name == NODE
        assert first.running.stats == recorder_pb2.RecordingStatistics()
        node.push(frame(), frame(source=2), frame(20))
        await call.write(STOP)
        last = (await rest(call))[-1]
        sizes = len(frame()) + len(frame(20))
        assert (last.stopped.stats.packets_captured, last.stopped.stats.bytes_captured) == (
            2,
            sizes,
        )
        path = last.stopped.filesink.file_path
        assert path.startswith(f"{node.directory}/hubble_")
        assert path.endswith("_node-1.pcap")
        file = node.directory / path.rpartition("/")[2]
        content = file.read_bytes()
        assert content[:4] == (0xA1B2C3D4).to_bytes(4, "little")
        assert len(content) == 24 + 2 * 16 + sizes
        ended = await only(node)
        assert ended.end == recordings_pb2.RECORDING_END_STOPPED
        assert ended.file_name == file.name


async def test_each_stop_condition_ends_the_call(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        for values in (
            {"packets_captured_count": 2},
            {"bytes_captured_count": 2 * len(frame())},
            {"time_elapsed": {"nanos": 20_000_000}},
            {"time_elapsed": {"seconds": -1}},
        ):
            call = node.stock.Record()
            await call.write(start(stop_condition=values))
            await next_of(call)
            node.push(*(frame() for _ in range(5)))
            last = (await rest(call))[-1]
            assert last.HasField("stopped")
            if "time_elapsed" not in values:
                assert last.stopped.stats.packets_captured == 2


async def test_an_aborted_call_leaves_a_whole_file_and_a_record_of_why(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        call = node.stock.Record()
        await call.write(start())
        await next_of(call)
        node.push(frame())
        recording = await only(node)
        await node.until_captured(recording.id, 1)
        call.cancel()
        ended = await node.until_ended(recording.id)
        assert ended.end == recordings_pb2.RECORDING_END_CALLER_GONE
        assert ended.counts.written.packets == 1
        assert (node.directory / ended.file_name).stat().st_size == ended.file_bytes


async def test_a_call_that_is_cancelled_twice_ends_its_recording(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    begun = asyncio.Event()

    async def requests() -> AsyncIterator[recorder_pb2.RecordRequest]:
        yield start()
        await asyncio.Event().wait()

    async def take() -> None:
        async for _ in RecorderService(node.recorder, node.streams).record(requests(), OWN):
            begun.set()

    async with node.running():
        call = asyncio.get_running_loop().create_task(take())
        await begun.wait()
        recording = await only(node)
        # Its stream is reset, and then its connection is closed.
        call.cancel()
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait((call,))
        ended = await node.until_ended(recording.id)
        assert ended.end == recordings_pb2.RECORDING_END_CALLER_GONE


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        ([STOP], 'received invalid request "stop {'),
        ([recorder_pb2.RecordRequest()], 'received invalid request ""'),
        ([], "failed to receive from recorder client: EOF"),
        ([start(), start()], "expected stop request"),
        ([start(), recorder_pb2.RecordRequest()], "expected stop request"),
        ([start()], "failed to receive from recorder client: EOF"),
        ([start(include=[])], "need to specify at least one include filter"),
    ],
)
async def test_requests_in_another_order_are_refused(
    tmp_path: Path, requests: list[recorder_pb2.RecordRequest], told: str
) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        call = node.stock.Record()
        for request in requests:
            await call.write(request)
        await call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rest(call)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert told in (refused.value.details() or "")
        assert len(node.recorder.sessions) == 0


async def test_the_callers_are_told_when_the_server_stops(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        call = node.stock.Record()
        await call.write(start())
        await next_of(call)
        await node.recorder.close()
        assert (await next_of(call)).HasField("stopped")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await next_of(call)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_time_longer_than_any_is_taken_for_never(tmp_path: Path) -> None:
    node = RecordingNode(tmp_path)
    async with node.serving():
        call = node.stock.Record()
        await call.write(start(stop_condition={"time_elapsed": {"seconds": 1 << 62}}))
        await next_of(call)
        await call.write(STOP)
        assert (await rest(call))[-1].HasField("stopped")
    assert [*node.directory.glob("*.json")]
