"""The recorder.Recorder service of Hubble 1.18: a recording for as long as a call lasts.

What is better than Hubble on purpose: docs/deliberate-differences.md.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

from google.protobuf import text_format

from palomar_bpf.capture_rule import PACKET_SNAPLEN_BYTES_MAX
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_proto.recorder import recorder_pb2
from palomar_recorder.ending import Ending
from palomar_recorder.name import file_stem
from palomar_recorder.pcap import PcapEncoder
from palomar_server.errors import Stopping
from palomar_server.grpc_service import Service
from palomar_server.recording.stock_request import (
    DEFAULT_SNAPLEN_BYTES,
    StockRefusal,
    stock_filter,
    stock_prefix,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from palomar_server.peer import Peer
    from palomar_server.recording.recorder import Recorder
    from palomar_server.recording.session import Session
    from palomar_server.streams import Streams

_NS_PER_S = 1_000_000_000
_ELAPSED_MAX_NS = 31_536_000 * _NS_PER_S
_TELL_S = 0.05
"""Statistics are told no more often."""


class RecorderService:
    """Serves Record.

    Args:
        recorder: does it.
        streams: lets the calls in, among those of other services.
    """

    def __init__(self, recorder: Recorder, streams: Streams) -> None:
        self._recorder = recorder
        self._streams = streams

    def service(self) -> Service:
        """The method, for a server."""
        descriptor = recorder_pb2.DESCRIPTOR.services_by_name["Recorder"]
        return Service(descriptor, {"Record": self.record})

    async def record(
        self, requests: AsyncIterator[recorder_pb2.RecordRequest], peer: Peer
    ) -> AsyncGenerator[list[bytes], None]:
        """Serve Record: a start, then a stop, and between them how it goes.

        Yields:
            Serialised RecordResponse messages.

        Raises:
            StockRefusal: a request breaks Hubble's rules.
            RequestError: it is not possible.
        """
        with self._streams.admitted(peer):
            start = await _start_of(requests)
            session = await self._begin(start, peer)
            stopping = asyncio.get_running_loop().create_task(_wait_stop(requests))
            try:
                async for response in self._responses(session, stopping):
                    yield [response.SerializeToString()]
            finally:
                # First: a call that is cancelled once more waits for nothing.
                session.begin_end(Ending.CALLER_GONE, "the caller has gone")
                # Before the requests are closed, which must not happen while somebody waits there.
                stopping.cancel()
                await asyncio.wait((stopping,))
            if self._recorder.sessions.stopping:
                raise Stopping

    async def _begin(self, start: recorder_pb2.StartRecording, peer: Peer) -> Session:
        prefix = stock_prefix(start)
        request = recordings_pb2.StartRequest(
            name=prefix,
            filter=stock_filter(start),
            snaplen_bytes=min(
                start.max_capture_length or PACKET_SNAPLEN_BYTES_MAX, PACKET_SNAPLEN_BYTES_MAX
            ),
            format=recordings_pb2.RECORDING_FORMAT_PCAP,
        )
        stop = start.stop_condition
        request.stop.packets = stop.packets_captured_count
        request.stop.bytes = stop.bytes_captured_count
        elapsed_ns = stop.time_elapsed.ToNanoseconds()
        if elapsed_ns > 0:
            # What nothing lasts; more would be no duration, and Hubble takes any number.
            request.stop.duration.FromNanoseconds(min(elapsed_ns, _ELAPSED_MAX_NS))
        recording = self._recorder.recording(request, peer)
        random = secrets.randbits(32)
        node_name = self._recorder.node_name.rpartition("/")[2]
        stem = file_stem(f"{prefix}_{time.time_ns() // _NS_PER_S}_{random}", node_name)
        encoder = PcapEncoder(
            snaplen_bytes=start.max_capture_length or DEFAULT_SNAPLEN_BYTES, nanoseconds=False
        )
        session = await self._recorder.record_to_file(recording, peer, stem, encoder)
        if elapsed_ns < 0:
            session.begin_end(Ending.DURATION)
        return session

    async def _responses(
        self, session: Session, stopping: asyncio.Task[None]
    ) -> AsyncGenerator[recorder_pb2.RecordResponse, None]:
        """First that it runs, then its statistics when they change, and last the result."""
        told = recorder_pb2.RecordingStatistics()
        yield self._response(running=recorder_pb2.RecordingRunningResponse(stats=told))
        stopping.add_done_callback(lambda _: session.changed())
        while not stopping.done() and not session.has_ended:
            version = session.version
            statistics = _statistics(session)
            if statistics != told:
                told = statistics
                yield self._response(running=recorder_pb2.RecordingRunningResponse(stats=told))
                await session.wait_ended(_TELL_S)
            if not stopping.done():
                await session.wait_changed(version)
        error = stopping.exception() if stopping.done() else None
        if error is None:
            await session.end(Ending.STOPPED)
        else:
            await session.end(Ending.CALLER_GONE, str(error))
        path = str(self._recorder.directory / session.recording.file_name)
        yield self._response(
            stopped=recorder_pb2.RecordingStoppedResponse(
                stats=_statistics(session), filesink=recorder_pb2.FileSinkResult(file_path=path)
            )
        )
        if error is not None:
            raise error

    def _response(
        self,
        *,
        running: recorder_pb2.RecordingRunningResponse | None = None,
        stopped: recorder_pb2.RecordingStoppedResponse | None = None,
    ) -> recorder_pb2.RecordResponse:
        response = recorder_pb2.RecordResponse(
            node_name=self._recorder.node_name, running=running, stopped=stopped
        )
        response.time.FromNanoseconds(time.time_ns())
        return response


async def _start_of(
    requests: AsyncIterator[recorder_pb2.RecordRequest],
) -> recorder_pb2.StartRecording:
    request = await anext(requests, None)
    if request is None:
        raise StockRefusal("failed to receive from recorder client: EOF")
    if request.WhichOneof("request_type") != "start":
        raise StockRefusal(f"received invalid request {_shown(request)}, expected start request")
    return request.start


async def _wait_stop(requests: AsyncIterator[recorder_pb2.RecordRequest]) -> None:
    """Return with the request to stop; those behind it say nothing new.

    Raises:
        StockRefusal: it was another one, or there was none.
    """
    request = await anext(requests, None)
    if request is None:
        raise StockRefusal("failed to receive from recorder client: EOF")
    if request.WhichOneof("request_type") != "stop":
        raise StockRefusal(f"received invalid request {_shown(request)}, expected stop request")


def _statistics(session: Session) -> recorder_pb2.RecordingStatistics:
    """Hubble's figures: what is lost is not among what was captured."""
    counts = session.message().counts
    behind = (counts.lost_sink_queue, counts.lost_disk)
    lost = (counts.lost_perf_ring, *behind)
    return recorder_pb2.RecordingStatistics(
        packets_captured=counts.captured.packets - sum(one.packets for one in behind),
        bytes_captured=counts.captured.bytes - sum(one.bytes for one in behind),
        packets_lost=sum(one.packets for one in lost),
        bytes_lost=sum(one.bytes for one in lost),
    )


def _shown(request: recorder_pb2.RecordRequest) -> str:
    text = text_format.MessageToString(request, as_one_line=True)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
