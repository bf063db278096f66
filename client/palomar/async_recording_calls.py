"""The part of `AsyncClient` that is about recordings of packets.

`RecordingCalls` with `await` and `async for`; there the arguments are explained. Files are written
on threads, so that the event loop never waits for a disk.
"""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from palomar import operations
from palomar.filters import Filter
from palomar.flow_calls import FlowCalls
from palomar.flow_streams import OnReconnect
from palomar.noted_calls import AsyncNotedCall
from palomar.operations import Operation
from palomar.reconnection import Reconnect
from palomar.reopening import PlaceReopening
from palomar.streams import AsyncEventStream
from palomar.target import Target
from palomar_proto.flow.flow_pb2 import FlowFilter

if TYPE_CHECKING:
    from palomar.download import Download, OnProgress
    from palomar.recording_requests import RecordKeywords
    from palomar.recording_stream import AsyncRecordingStream, OnRecording
    from palomar_proto.palomar.v1.recordings_pb2 import DownloadResponse, ListResponse, Recording

AnswerT = TypeVar("AnswerT")


class AsyncRecordingCalls(ABC):
    """Methods of `AsyncClient` that record packets on a node, and fetch the files."""

    _target: Target
    _reconnect: Reconnect | None
    _flow_calls: FlowCalls[Any, Any]

    @abstractmethod
    async def _ask(self, operation: Operation[AnswerT]) -> AnswerT:
        """Run a call that has one answer."""

    @abstractmethod
    def _open(self, operation: Operation[AnswerT]) -> AsyncNotedCall[AnswerT]:
        """Run a call that has a stream of answers."""

    async def start_recording(
        self,
        *filters: Filter | FlowFilter,
        exclude: Iterable[Filter | FlowFilter] = (),
        **keywords: "Unpack[RecordKeywords]",
    ) -> "Recording":
        """Begin to record packets; see `Client.start_recording`."""
        return await self._ask(operations.start_recording(filters, exclude, **keywords))

    async def recordings(self, *statuses: str, limit: int = 0) -> "ListResponse":
        """Ask for the recordings of the node; see `Client.recordings`."""
        return await self._ask(operations.recordings(statuses, limit))

    async def recording(self, recording_id: str) -> "Recording":
        """Ask for one recording."""
        return await self._ask(operations.recording(recording_id))

    def watch_recording(
        self, recording_id: str, *, on_reconnect: OnReconnect | None = None
    ) -> "AsyncEventStream[Recording]":
        """Watch a recording until it has ended; see `Client.watch_recording`."""
        operation = operations.watch_recording(recording_id)
        reopening = PlaceReopening(
            lambda: self._open(operation),
            self._target,
            self._reconnect,
            on_reconnect=on_reconnect,
        )
        return self._flow_calls.keep(AsyncEventStream(reopening.open(), self._target, reopening))

    async def stop_recording(self, recording_id: str) -> "Recording":
        """End a recording; see `Client.stop_recording`."""
        return await self._ask(operations.stop_recording(recording_id))

    async def delete_recording(self, recording_id: str) -> None:
        """Remove a recording that has ended, and its file."""
        await self._ask(operations.delete_recording(recording_id))

    async def download_recording(
        self,
        recording_id: str,
        path: str | os.PathLike[str] = ".",
        *,
        resume: bool = True,
        overwrite: bool = False,
        on_progress: "OnProgress | None" = None,
    ) -> Path:
        """Fetch the file of a recording; see `Client.download_recording`.

        `on_progress` is called on another thread.
        """
        from palomar.download import Download  # noqa: PLC0415 - few programs need it

        make = partial(
            Download,
            recording_id,
            path,
            resume=resume,
            overwrite=overwrite,
            on_progress=on_progress,
        )
        async with _opened(make) as download:
            async with self._file(recording_id, download) as answers:
                async for answer in answers:
                    await asyncio.to_thread(download.take, answer)
            return await asyncio.to_thread(download.finish)

    def record_stream(
        self,
        *filters: Filter | FlowFilter,
        exclude: Iterable[Filter | FlowFilter] = (),
        on_recording: "OnRecording | None" = None,
        **keywords: "Unpack[RecordKeywords]",
    ) -> "AsyncRecordingStream":
        """Record packets and read them while they come; see `Client.record_stream`."""
        from palomar.recording_stream import AsyncRecordingStream  # noqa: PLC0415 - few need it

        operation = operations.record_stream(filters, exclude, **keywords)
        stream = AsyncRecordingStream(self._open(operation), self._target, on_recording)
        return self._flow_calls.keep(stream)

    def _file(
        self, recording_id: str, download: "Download"
    ) -> "AsyncEventStream[DownloadResponse]":
        def place() -> int:
            return download.offset_bytes

        reopening = PlaceReopening(
            lambda: self._open(operations.download_recording(recording_id, place())),
            self._target,
            self._reconnect,
            place,
        )
        return self._flow_calls.keep(AsyncEventStream(reopening.open(), self._target, reopening))


@asynccontextmanager
async def _opened(make: "Callable[[], Download]") -> "AsyncIterator[Download]":
    """Open a download, and let go of it: on threads, since both may wait for the disk."""
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(None, make)
    try:
        download = await asyncio.shield(opening)
    except asyncio.CancelledError:
        # The thread goes on, and nobody else would let go of what it opens and locks.
        opening.add_done_callback(_close_opened)
        raise
    try:
        yield download
    except BaseException as error:
        leave = partial(download.__exit__, type(error), error, None)
        await asyncio.shield(loop.run_in_executor(None, leave))
        raise
    await asyncio.shield(loop.run_in_executor(None, download.close))


def _close_opened(opening: "asyncio.Future[Download]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
