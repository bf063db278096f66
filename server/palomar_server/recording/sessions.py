"""The recordings under way: how many may be, how each begins, and what its end leaves to do."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from palomar_bpf.errors import CaptureError
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.ending import Ending
from palomar_recorder.file_target import FileTarget
from palomar_recorder.storage import StorageError, StorageFullError
from palomar_server.errors import Exhausted, NotReady, Stopping
from palomar_server.recording.audit import audit, audit_end
from palomar_server.recording.session import STAGES, Session
from palomar_server.recording.stream_target import StreamTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from palomar_recorder.encoder import Encoder
    from palomar_recorder.target import Target
    from palomar_server.peer import Peer
    from palomar_server.recording.archive import Archive
    from palomar_server.recording.preparation import Preparation, Selection
    from palomar_server.recording.session import Feed
    from palomar_server.recording_settings import RecordingSettings
    from palomar_server.streams import Audience

log = structlog.get_logger(__name__)

_NS_PER_S = 1_000_000_000
_CLOSE_S = 5.0
"""How long the end waits for readers of streams, and then for disks."""
_LOOK_S = 0.005


class Sessions:
    """Of one node. Of the loop's thread.

    Args:
        settings: limits.
        archive: is told of each recording.
        preparation: makes of requests what records them.
    """

    def __init__(
        self,
        settings: RecordingSettings,
        archive: Archive,
        preparation: Preparation,
    ) -> None:
        self._settings = settings
        self._feed: Feed | None = None
        self._audience: Audience | None = None
        self._heard: set[str] = set()
        """Ids of those for which the audience was told."""
        self._archive = archive
        self._preparation = preparation
        self._sessions: dict[str, Session] = {}
        self._targets: dict[str, Target] = {}
        self._starting: set[str] = set()
        """Ids of those that begin."""
        self.stopping = False
        """Whether no more may begin."""
        self.refused = 0
        """Recordings for which there was no room."""
        self.ends = {ending.name.lower(): 0 for ending in Ending}
        """Recordings that ended, by the name of the reason."""
        self._counts: dict[str, list[int]] = {stage: [0, 0] for stage in STAGES}

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter([*self._sessions.values()])

    @property
    def limit(self) -> int:
        """How many may be under way at once."""
        return self._settings.recordings_max

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Packets and bytes by stage, of all recordings since the start."""
        sums = {stage: [*count] for stage, count in self._counts.items()}
        for session in self:
            _add(sums, session.message())
        return {stage: (packets, size) for stage, (packets, size) in sums.items()}

    @property
    def file_bytes(self) -> int:
        """Size of all files that are being recorded."""
        targets = self._targets.values()
        return sum(target.file_bytes for target in targets if isinstance(target, FileTarget))

    def connect(self, feed: Feed, audience: Audience | None = None) -> None:
        """Record from now on.

        Args:
            feed: gives packets.
            audience: is told while a recording goes by flows: who opened a connection is known
                only as long as connections are observed.
        """
        self._feed, self._audience = feed, audience

    def get(self, recording_id: str) -> Session | None:
        """The one of that id, if it is under way."""
        return self._sessions.get(recording_id)

    async def begin(
        self,
        recording: recordings_pb2.Recording,
        peer: Peer,
        encoder: Encoder,
        make_target: Callable[[], Target],
    ) -> Session:
        """Begin a recording; returns once packets are taken.

        Where the caller goes meanwhile, it ends as soon as it has begun.

        Args:
            recording: with id, request, and who asks.
            peer: who asks.
            encoder: form of what is written.
            make_target: opens what it is written to; off the loop.

        Raises:
            RequestError: it is not possible; nothing is left of it.
        """
        self._check_room()
        if self._feed is None:
            raise NotReady(
                "this palomard captures no packets itself: ask the palomard of a node, started "
                "without --no-live and --replay"
            )
        # All that may be refused comes before anything is made.
        selection = self._preparation.selection(recording.request, peer)
        most_ns = int(self._settings.recording_max_s * _NS_PER_S)
        session = Session(recording, self._feed, most_ns=most_ns)
        self._starting.add(recording.id)
        beginning = asyncio.get_running_loop().create_task(
            self._begin(session, selection, encoder, make_target),
            name=f"begin {recording.id}",
        )
        beginning.add_done_callback(lambda _: self._starting.discard(recording.id))
        try:
            await asyncio.shield(beginning)
        except asyncio.CancelledError:
            audit("recording started for a caller who has gone", recording, peer)
            beginning.add_done_callback(lambda one: self._give_up(one, session))
            raise
        audit("recording started", recording, peer)
        return session

    async def close(self) -> None:
        """End all, and let none begin."""
        self.stopping = True
        for session in self:
            session.begin_end(Ending.SHUTDOWN)
        await self._wait_none()
        for target in self._targets.values():
            if isinstance(target, StreamTarget):
                target.abandon()
        await self._wait_none()
        if self._sessions:
            late = sorted(self._sessions)
            log.warning("recordings are not whole: the disk does not answer", recordings=late)

    async def _wait_none(self) -> None:
        """Wait until none is under way, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                while self._sessions or self._starting:
                    for session in self:
                        await session.wait_ended(_CLOSE_S)
                    await asyncio.sleep(_LOOK_S)

    def _check_room(self) -> None:
        if self.stopping:
            raise Stopping
        most = self._settings.recordings_max
        if len(self._sessions.keys() | self._starting) >= most:
            self.refused += 1
            raise Exhausted(f"{most} recordings are under way, which is recordings_max")

    @staticmethod
    async def _open(make_target: Callable[[], Target]) -> Target:
        try:
            return await asyncio.to_thread(make_target)
        except StorageFullError as error:
            raise Exhausted(str(error)) from error
        except StorageError as error:
            raise NotReady(str(error)) from error

    async def _begin(
        self,
        session: Session,
        selection: Selection,
        encoder: Encoder,
        make_target: Callable[[], Target],
    ) -> None:
        recording = session.recording
        target = await self._open(make_target)
        try:
            subscription = self._preparation.subscription(session, selection, encoder, target)
            session.connect(
                subscription,
                lambda: self._written(session),
                # Whoever does not read must not hold a place for ever.
                target.give_up if isinstance(target, StreamTarget) else lambda: None,
            )
            if isinstance(target, FileTarget):
                recording.file_name = target.file_name
                # A stream is noted when it has ended: the database may be slow, or not there.
                await self._archive.begin(recording)
            self._targets[recording.id] = target
            self._sessions[recording.id] = session
            if selection.needs_flow and self._audience is not None:
                self._heard.add(recording.id)
                self._audience.acquire()
            await session.begin()
        except BaseException as error:
            self._forget(session)
            if isinstance(target, FileTarget):
                await asyncio.to_thread(target.discard)
                await self._archive.discard(recording)
            if isinstance(error, CaptureError):
                raise NotReady(str(error)) from error
            raise
        if self.stopping:
            session.begin_end(Ending.SHUTDOWN)

    async def _written(self, session: Session) -> None:
        """All of a recording is written: note it, and let it go."""
        recording = session.recording
        target = self._targets[recording.id]
        if isinstance(target, FileTarget):
            recording.file_bytes, recording.sha256 = target.file_bytes, target.sha256
        elif isinstance(target, StreamTarget):
            recording.file_bytes = target.total_bytes
        try:
            await self._archive.finish(recording)
        finally:
            # Whatever is wrong there, it is not under way any more.
            self._let_go(session)

    def _let_go(self, session: Session) -> None:
        recording = session.recording
        name = recordings_pb2.RecordingEnd.Name(recording.end).removeprefix("RECORDING_END_")
        self.ends[name.lower()] += 1
        _add(self._counts, recording)
        self._forget(session)
        audit_end(recording)

    def _give_up(self, beginning: asyncio.Task[None], session: Session) -> None:
        """End what began although its caller had gone."""
        if beginning.cancelled() or beginning.exception() is not None:
            return
        target = self._targets.get(session.recording.id)
        if isinstance(target, StreamTarget):
            target.abandon()
        session.begin_end(Ending.CALLER_GONE, "the caller had gone before it began")

    def _forget(self, session: Session) -> None:
        if session.recording.id in self._heard and self._audience is not None:
            self._heard.discard(session.recording.id)
            self._audience.release()
        self._sessions.pop(session.recording.id, None)
        self._targets.pop(session.recording.id, None)


def _add(sums: dict[str, list[int]], recording: recordings_pb2.Recording) -> None:
    for stage, count in sums.items():
        counted = getattr(recording.counts, stage)
        count[0] += counted.packets
        count[1] += counted.bytes
