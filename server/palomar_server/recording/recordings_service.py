"""The palomar.v1.Recordings service: our own recorder, as gRPC has it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_server.grpc_service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from palomar_server.peer import Peer
    from palomar_server.recording.recorder import Recorder
    from palomar_server.streams import Streams


class RecordingsService:
    """Serves what a recorder does.

    Args:
        recorder: does it.
        streams: lets in calls that last, among those of other services.
    """

    def __init__(self, recorder: Recorder, streams: Streams) -> None:
        self._recorder = recorder
        self._streams = streams

    def service(self) -> Service:
        """All methods, for a server."""
        return Service(
            recordings_pb2.DESCRIPTOR.services_by_name["Recordings"],
            {
                "Start": self.start,
                "List": self.list_recordings,
                "Get": self.get,
                "Watch": self.watch,
                "Stop": self.stop,
                "Delete": self.delete,
                "Download": self.download,
                "Stream": self.stream,
            },
        )

    async def start(
        self, request: recordings_pb2.StartRequest, peer: Peer
    ) -> recordings_pb2.Recording:
        """Serve Start; see `Recorder.start`."""
        return await self._recorder.start(request, peer)

    async def list_recordings(
        self, request: recordings_pb2.ListRequest, peer: Peer
    ) -> recordings_pb2.ListResponse:
        """Serve List; see `Recorder.list`."""
        return await self._recorder.list(request, peer)

    async def get(self, request: recordings_pb2.GetRequest, peer: Peer) -> recordings_pb2.Recording:
        """Serve Get; see `Recorder.get`."""
        return await self._recorder.get(request.id, peer)

    async def stop(
        self, request: recordings_pb2.StopRequest, peer: Peer
    ) -> recordings_pb2.Recording:
        """Serve Stop; see `Recorder.stop`."""
        return await self._recorder.stop(request.id, peer)

    async def delete(
        self, request: recordings_pb2.DeleteRequest, peer: Peer
    ) -> recordings_pb2.DeleteResponse:
        """Serve Delete; see `Recorder.delete`."""
        await self._recorder.delete(request.id, peer)
        return recordings_pb2.DeleteResponse()

    async def watch(
        self, request: recordings_pb2.WatchRequest, peer: Peer
    ) -> AsyncGenerator[list[bytes], None]:
        """Serve Watch; see `Recorder.watch`.

        Yields:
            Serialised Recording messages.
        """
        with self._streams.admitted(peer):
            async with aclosing(self._recorder.watch(request.id, peer)) as recordings:
                async for recording in recordings:
                    yield [recording.SerializeToString()]

    async def download(
        self, request: recordings_pb2.DownloadRequest, peer: Peer
    ) -> AsyncGenerator[list[bytes], None]:
        """Serve Download; see `Recorder.download`.

        Yields:
            Serialised DownloadResponse messages.
        """
        with self._streams.admitted(peer):
            found = await self._recorder.download(request.id, request.offset, peer)
            try:
                first = recordings_pb2.DownloadResponse(recording=found.recording)
                yield [first.SerializeToString()]
                while (chunk := await asyncio.to_thread(found.read)) is not None:
                    yield [recordings_pb2.DownloadResponse(chunk=chunk).SerializeToString()]
            finally:
                found.close()

    async def stream(
        self, request: recordings_pb2.StreamRequest, peer: Peer
    ) -> AsyncGenerator[list[bytes], None]:
        """Serve Stream; see `Recorder.stream`.

        Yields:
            Serialised StreamResponse messages.
        """
        with self._streams.admitted(peer):
            async with aclosing(self._recorder.stream(request.start, peer)) as responses:
                async for response in responses:
                    yield [response.SerializeToString()]
