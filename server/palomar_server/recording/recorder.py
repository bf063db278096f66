"""Recordings of this node, as its services know them: what is under way, and what has ended.

Everything here is of the loop's thread. Packets come through sinks on threads of their own, and
whatever may wait for the kernel, the disk or the database does so off the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING

import structlog

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.ending import Ending
from palomar_recorder.name import file_stem
from palomar_server.catalogue.catalogue import UNDER_WAY
from palomar_server.errors import NotReady, RequestError, Stopping
from palomar_server.recording.archive import Archive
from palomar_server.recording.audit import audit
from palomar_server.recording.download import Download
from palomar_server.recording.preparation import Preparation
from palomar_server.recording.recording_request import complete_request
from palomar_server.recording.sessions import Sessions
from palomar_server.recording.stream_target import StreamTarget

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from palomar_recorder.encoder import Encoder
    from palomar_recorder.storage import Storage
    from palomar_server.catalogue.catalogue import Catalogue
    from palomar_server.encode import FlowEncoder
    from palomar_server.filters.compiled import FilterLimits
    from palomar_server.hooks import Hooks
    from palomar_server.peer import Peer
    from palomar_server.recording.session import Session
    from palomar_server.recording_settings import RecordingSettings
    from palomar_server.surroundings import Surroundings

log = structlog.get_logger(__name__)

LIST_MAX = 1_000
"""Recordings in one answer."""
_LIST_BYTES_MAX = 3 << 20
"""Clients of gRPC take messages of up to 4 MiB unless told otherwise."""
TIDY_S = 60.0
"""How often it is looked for what has expired."""
_NS_PER_S = 1_000_000_000
_TELL_S = 1.0
"""How often a stream tells how it is doing."""
_WATCH_S = 0.2
"""A watcher is told of changes no more often."""
_STARTING = recordings_pb2.RECORDING_STATUS_STARTING
_STOPPING = recordings_pb2.RECORDING_STATUS_STOPPING


class Recorder:
    """The recordings of one node.

    Args:
        settings: limits.
        storage: the directory of the files.
        catalogue: the database.
        hooks: may narrow or refuse what a peer asks for, and add conditions to filters.
        surroundings: what filters look into.
        encoder: builds flows for filters that need them.
        filter_limits: what the filters of a request may cost.
        node_name: as cluster/node.
        clock_ns: UTC ns.
    """

    def __init__(
        self,
        settings: RecordingSettings,
        storage: Storage,
        catalogue: Catalogue,
        *,
        hooks: Hooks,
        surroundings: Surroundings,
        encoder: FlowEncoder,
        filter_limits: FilterLimits,
        node_name: str,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._settings = settings
        self._storage = storage
        self.node_name = node_name
        """As cluster/node."""
        self._clock_ns = clock_ns
        self._preparation = Preparation(
            settings,
            surroundings=surroundings,
            encoder=encoder,
            hooks=hooks,
            filter_limits=filter_limits,
            node_name=node_name,
        )
        self._permission = self._preparation.permission
        self._archive = Archive(
            storage,
            catalogue,
            node_name=node_name,
            keep_ns=int(settings.recordings_keep_s * _NS_PER_S),
            clock_ns=clock_ns,
        )
        self.sessions = Sessions(settings, self._archive, self._preparation)
        """Those under way. None can begin before it is told what gives packets."""
        self._tidying: asyncio.Task[None] | None = None

    @property
    def directory(self) -> Path:
        """Where the files are."""
        return self._storage.directory

    def recording(
        self, request: recordings_pb2.StartRequest, peer: Peer
    ) -> recordings_pb2.Recording:
        """What will be known of a recording before it begins."""
        recording = recordings_pb2.Recording(
            id=f"{request.name}-{secrets.token_hex(4)}",
            node_name=self.node_name,
            status=_STARTING,
            request=request,
            started_by=peer.who,
        )
        recording.started.FromNanoseconds(self._clock_ns())
        return recording

    async def record_to_file(
        self, recording: recordings_pb2.Recording, peer: Peer, stem: str, encoder: Encoder
    ) -> Session:
        """Begin a recording into a file; returns once packets are taken.

        Args:
            recording: from `recording`.
            peer: who asks.
            stem: of the file's name.
            encoder: its form.

        Raises:
            RequestError: it is not possible.
        """
        return await self.sessions.begin(
            recording, peer, encoder, lambda: self._storage.create(stem, encoder.suffix)
        )

    async def start(
        self, request: recordings_pb2.StartRequest, peer: Peer
    ) -> recordings_pb2.Recording:
        """The same with names and forms of our own.

        Raises:
            RequestError: it is not possible.
        """
        complete = complete_request(request, self._settings)
        recording = self.recording(complete, peer)
        # The node alone: all of a directory's files are of one cluster.
        stem = file_stem(recording.id, self.node_name.rpartition("/")[2])
        encoder = self._preparation.file_encoder(complete)
        session = await self.record_to_file(recording, peer, stem, encoder)
        return session.message()

    async def stop(self, recording_id: str, peer: Peer) -> recordings_pb2.Recording:
        """End a recording; returns once all that it took is in its file.

        Raises:
            NotFound: there is none of that id.
            RequestError: this peer may not.
        """
        session = self.sessions.get(recording_id)
        if session is None:
            return await self.get(recording_id, peer)
        self._permission.check(session.recording, peer)
        if session.recording.status != _STOPPING:
            audit("recording stopped", session.recording, peer)
        await session.end(Ending.STOPPED)
        return session.message()

    async def get(self, recording_id: str, peer: Peer) -> recordings_pb2.Recording:
        """A recording, under way or ended.

        Raises:
            NotFound: there is none of that id.
            RequestError: this peer may not see it.
        """
        session = self.sessions.get(recording_id)
        recording = session.message() if session else await self._archive.get(recording_id)
        self._permission.check(recording, peer)
        return recording

    async def list(
        self, request: recordings_pb2.ListRequest, peer: Peer
    ) -> recordings_pb2.ListResponse:
        """The recordings that a peer may see, the newest first.

        Raises:
            NotReady: the catalogue cannot be used.
        """
        limit = min(request.limit or LIST_MAX, LIST_MAX)
        statuses = frozenset(request.statuses).intersection(recordings_pb2.RecordingStatus.values())
        if request.statuses and not statuses:
            return recordings_pb2.ListResponse()
        sessions = [*self.sessions]
        entries, truncated = await self._archive.list(statuses, limit)
        # One that ended meanwhile may have been read as under way.
        ended = (session for session in sessions if session.has_ended)
        live = {one.recording.id: one.message() for one in (*ended, *self.sessions)}
        shown = [one for one in live.values() if not statuses or one.status in statuses]
        # What the catalogue says of these is older.
        shown += [one for one in entries if one.id not in live]
        shown.sort(key=lambda one: one.started.ToNanoseconds(), reverse=True)
        response = recordings_pb2.ListResponse(truncated=truncated or len(shown) > limit)
        size_bytes = 0
        for recording in shown[:limit]:
            with contextlib.suppress(RequestError):
                self._permission.check(recording, peer)
                size_bytes += recording.ByteSize()
                if size_bytes > _LIST_BYTES_MAX:
                    response.truncated = True
                    break
                response.recordings.append(recording)
        return response

    async def watch(
        self, recording_id: str, peer: Peer
    ) -> AsyncGenerator[recordings_pb2.Recording, None]:
        """The recording now, then whenever it changed, the last time when it has ended.

        Raises:
            NotFound: there is none of that id.
            RequestError: this peer may not see it.
        """
        session = self.sessions.get(recording_id)
        if session is None:
            yield await self.get(recording_id, peer)
            return
        self._permission.check(session.recording, peer)
        while True:
            version, ended = session.version, session.has_ended
            yield session.message()
            if ended:
                return
            await session.wait_changed(version)
            await session.wait_ended(_WATCH_S)

    async def delete(self, recording_id: str, peer: Peer) -> None:
        """Remove a recording that has ended.

        Raises:
            NotFound: there is none of that id.
            NotReady: it is under way.
            RequestError: this peer may not.
        """
        recording = await self.get(recording_id, peer)
        _check_ended(recording)
        # Whole, even if the caller goes: an entry without its file would be of no use.
        await asyncio.shield(self._delete(recording, peer))

    async def _delete(self, recording: recordings_pb2.Recording, peer: Peer) -> None:
        await self._archive.delete(recording)
        audit("recording deleted", recording, peer)

    async def download(self, recording_id: str, offset: int, peer: Peer) -> Download:
        """The file of a recording that has ended, from some place on; the caller closes it.

        Raises:
            NotFound: there is none of that id, or its file is gone.
            NotReady: it is under way, or has no file.
            OutOfRange: the file is shorter.
            RequestError: this peer may not.
        """
        recording = await self.get(recording_id, peer)
        _check_ended(recording)
        found = await asyncio.to_thread(Download, self._storage, recording, offset)
        audit("recording downloaded", recording, peer, offset=offset)
        return found

    async def stream(
        self, request: recordings_pb2.StartRequest, peer: Peer
    ) -> AsyncGenerator[recordings_pb2.StreamResponse, None]:
        """Record to the caller; it ends when the caller closes the generator.

        Raises:
            RequestError: it is not possible.
        """
        complete = complete_request(request, self._settings)
        recording = self.recording(complete, peer)
        encoder = self._preparation.file_encoder(complete)
        target = StreamTarget()
        session = await self.sessions.begin(recording, peer, encoder, lambda: target)
        target.on_news = session.changed
        try:
            async for response in _responses(session, target):
                yield response
            if self.sessions.stopping:
                raise Stopping
        finally:
            # Nothing to end any more where it ended by itself.
            target.abandon()
            session.begin_end(Ending.CALLER_GONE, "the caller has gone")

    def start_tidying(self) -> None:
        """From now on make whole what a run before left, and remove what expires."""
        self._tidying = asyncio.get_running_loop().create_task(self._tidy(), name="tidy recordings")

    async def close(self) -> None:
        """End all recordings, and take no more."""
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.wait((self._tidying,))
        await self.sessions.close()
        await self._archive.close()

    async def _tidy(self) -> None:
        while True:
            try:
                if not self._archive.is_empty:
                    await self._archive.tidy()
            except NotReady as error:
                log.warning("recordings could not be tidied", why=str(error))
            except Exception:
                log.exception("recordings could not be tidied")
            await asyncio.sleep(TIDY_S)


async def _responses(
    session: Session, target: StreamTarget
) -> AsyncGenerator[recordings_pb2.StreamResponse, None]:
    """What a stream's caller is told, from begin to end."""
    clock_s = asyncio.get_running_loop().time
    told_s = clock_s()
    yield recordings_pb2.StreamResponse(recording=session.message())
    while True:
        version, last = session.version, session.has_ended
        while (piece := target.take()) is not None:
            yield recordings_pb2.StreamResponse(data=piece)
            if clock_s() - told_s >= _TELL_S:
                told_s = clock_s()
                yield recordings_pb2.StreamResponse(recording=session.message())
        if last:
            break
        await session.wait_changed(version, max(0.0, told_s + _TELL_S - clock_s()))
        if clock_s() - told_s >= _TELL_S:
            told_s = clock_s()
            yield recordings_pb2.StreamResponse(recording=session.message())
    yield recordings_pb2.StreamResponse(recording=session.message())


def _check_ended(recording: recordings_pb2.Recording) -> None:
    if recording.status in UNDER_WAY:
        raise NotReady(f"recording {recording.id} is under way: stop it first")
