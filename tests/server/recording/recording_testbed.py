"""A recorder on a fake packet source, with or without real gRPC around it."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc

from palomar_bpf.payload import ObservationPoint
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_proto.palomar.v1.recordings_pb2_grpc import RecordingsStub
from palomar_proto.recorder.recorder_pb2_grpc import RecorderStub
from palomar_recorder.storage import Storage
from palomar_server.catalogue.catalogue import UNDER_WAY, Catalogue
from palomar_server.filters.compiled import FilterLimits
from palomar_server.grpc_server import GrpcServer
from palomar_server.peer import OWN
from palomar_server.recording.dispatcher import Dispatcher
from palomar_server.recording.recorder import Recorder
from palomar_server.recording.recorder_service import RecorderService
from palomar_server.recording.recordings_service import RecordingsService
from palomar_server.recording.testing import FakePacketSource, recorded
from palomar_server.settings import Settings
from palomar_server.streams import Streams
from palomar_server.testing import Core

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from palomar_proto.palomar.v1.recordings_pb2_grpc import RecordingsAsyncStub
    from palomar_proto.recorder.recorder_pb2_grpc import RecorderAsyncStub

NODE = "default/node-1"


def frame(payload_bytes: int = 8, *, source: int = 1, port: int = 53) -> bytes:
    """An Ethernet frame with a UDP packet from 10.0.0.<source> to 10.0.1.1."""
    udp = (1_000).to_bytes(2, "big") + port.to_bytes(2, "big")
    udp += (8 + payload_bytes).to_bytes(2, "big") + bytes(2) + bytes(payload_bytes)
    total = (20 + len(udp)).to_bytes(2, "big")
    head = b"\x45\0" + total + bytes(4) + b"\x40\x11" + bytes(2)
    return bytes(12) + b"\x08\0" + head + bytes([10, 0, 0, source, 10, 0, 1, 1]) + udp


def from_source(number: int) -> recordings_pb2.PacketFilter:
    """Packets from 10.0.0.<number>."""
    return recordings_pb2.PacketFilter(
        whitelist=[flow_pb2.FlowFilter(source_ip=[f"10.0.0.{number}"])], one_way=True
    )


async def next_of(call: Any) -> Any:
    """A call's next response."""
    return await call.read()


async def rest(call: Any) -> list[Any]:
    """What is left of a call's responses, up to its end."""
    responses = []
    while (response := await call.read()) is not grpc.aio.EOF:
        responses.append(response)
    return responses


class RecordingNode:
    """A node that records what a test pushes."""

    def __init__(self, path: Path, **values: object) -> None:
        self.core = Core()
        self.source = FakePacketSource()
        self.directory = path / "recordings"
        self.socket = path / "api.sock"
        chosen = {
            "recordings_directory": self.directory,
            "database_url": f"sqlite+aiosqlite:///{path}/catalogue.db",
            "recordings_free_min_bytes": 0,
            **values,
        }
        self.settings = Settings.model_validate(chosen)
        self.streams = Streams()
        self.recorder: Recorder
        self.recordings: RecordingsAsyncStub
        self.stock: RecorderAsyncStub

    @asynccontextmanager
    async def running(self, *, connected: bool = True) -> AsyncIterator[Recorder]:
        """The recorder alone."""
        core, settings = self.core, self.settings
        dispatcher = Dispatcher(
            self.source, core.surroundings, core.encoder, apart=contextlib.nullcontext
        )
        self.recorder = recorder = Recorder(
            settings,
            Storage(
                settings.recordings_directory,
                max_bytes=settings.recordings_max_bytes,
                free_min_bytes=settings.recordings_free_min_bytes,
                file_max_bytes=settings.recording_max_bytes,
            ),
            Catalogue(settings.database_url),
            hooks=core.hooks,
            surroundings=core.surroundings,
            encoder=core.encoder,
            filter_limits=FilterLimits(),
            node_name=NODE,
        )
        if connected:
            recorder.sessions.connect(dispatcher)
        async with asyncio.timeout(60):
            try:
                yield recorder
            finally:
                await recorder.close()
                await asyncio.to_thread(dispatcher.close)

    @asynccontextmanager
    async def serving(self, *, connected: bool = True) -> AsyncIterator[RecordingNode]:
        """The recorder behind a socket, and clients of both services."""
        async with self.running(connected=connected) as recorder:
            server = GrpcServer(
                [
                    RecordingsService(recorder, self.streams).service(),
                    RecorderService(recorder, self.streams).service(),
                ],
                socket=self.socket,
                socket_mode=0o600,
                listen=None,
            )
            await server.start()
            try:
                async with grpc.aio.insecure_channel(f"unix:{self.socket}") as channel:
                    self.recordings = RecordingsStub(channel)
                    self.stock = RecorderStub(channel)
                    yield self
            finally:
                await server.stop(0)

    def push(self, *frames: bytes, time_ns: int | None = None) -> int:
        """Have frames seen; how many some rule took."""
        chosen = {} if time_ns is None else {"time_ns": time_ns}
        return self.source.push(
            *(recorded(one, point=ObservationPoint.TO_ENDPOINT, **chosen) for one in frames)
        )

    async def until_captured(self, recording_id: str, packets: int) -> None:
        """Wait until a recording under way has so many."""
        while True:
            now = await self.recorder.get(recording_id, OWN)
            if now.counts.captured.packets >= packets:
                return
            await asyncio.sleep(0.002)

    async def until_ended(self, recording_id: str) -> recordings_pb2.Recording:
        """Wait until a recording has ended, and give what is known of it then."""
        while True:
            now = await self.recorder.get(recording_id, OWN)
            if now.status not in UNDER_WAY:
                return now
            await asyncio.sleep(0.002)
