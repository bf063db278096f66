"""Recordings that have ended: their files, what stands beside them, and their catalogue.

The catalogue knows all; beside each file a copy of its entry lies as JSON, for whoever finds the
file without the catalogue. Nothing here is opened before somebody records, or asks for recordings
where there are some.
"""

from __future__ import annotations

import asyncio
import re
import reprlib
import time
from typing import TYPE_CHECKING, Any

import structlog
from google.protobuf.json_format import MessageToJson

from palomar_recorder.name import PARTIAL_SUFFIX
from palomar_recorder.sidecar import remove_sidecar, write_sidecar
from palomar_recorder.storage import StorageError
from palomar_server.catalogue.errors import CatalogueError
from palomar_server.errors import NotFound, NotReady
from palomar_server.recording.recovery import Recovery, names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from palomar_proto.palomar.v1 import recordings_pb2
    from palomar_recorder.storage import Storage
    from palomar_server.catalogue.catalogue import Catalogue, Listing

log = structlog.get_logger(__name__)

_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_UNSAVED_MAX = 1_000
"""What ended while the database was away, and is kept in memory; of more, the oldest go."""


class Archive:
    """Of one node. Called on the loop's thread.

    Args:
        storage: the directory of the files.
        catalogue: the database.
        node_name: as cluster/node: whose entries these are.
        keep_ns: how long an interrupted recording is kept where its request does not say.
        clock_ns: UTC ns.
    """

    def __init__(
        self,
        storage: Storage,
        catalogue: Catalogue,
        *,
        node_name: str,
        keep_ns: int,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._node_name = node_name
        self._keep_ns = keep_ns
        self._clock_ns = clock_ns
        self._recovery = Recovery(storage, catalogue, node_name=node_name, clock_ns=clock_ns)
        self._recovering = asyncio.Lock()
        self._recovered = False
        self._failures = 0
        self._failure = ""
        self._unsaved: dict[str, recordings_pb2.Recording] = {}
        """What has ended and the catalogue could not take; it is tried again."""
        self._unwanted: dict[str, None] = {}
        """Ids of entries that are to go and may still be there."""

    @property
    def is_empty(self) -> bool:
        """Whether there is certainly nothing, so that nothing needs to be opened."""
        return self._catalogue.is_new and not self._storage.directory.exists()

    async def begin(self, recording: recordings_pb2.Recording) -> None:
        """Note a recording that begins.

        Raises:
            NotReady: the catalogue cannot be used; tells why.
        """
        await self.recover()
        try:
            await self._catalogue.add(recording)
        except CatalogueError as error:
            raise NotReady(str(error)) from error

    async def discard(self, recording: recordings_pb2.Recording) -> None:
        """Forget a recording that could not begin. Never raises."""
        try:
            await self._catalogue.delete(self._node_name, recording.id)
        except CatalogueError as error:
            log.warning("a recording that did not begin is noted", id=recording.id, why=str(error))
            self._unwanted[recording.id] = None
            _shorten(self._unwanted)

    async def finish(self, recording: recordings_pb2.Recording) -> None:
        """Note how a recording ended, also one that was not noted when it began.

        Never raises: what cannot be noted is tried again.
        """
        self._set_expiry(recording)
        await self._write_sidecar(recording)
        await self._save(recording)

    async def get(self, recording_id: str) -> recordings_pb2.Recording:
        """An ended recording.

        Raises:
            NotFound: there is none of that id.
            NotReady: the catalogue cannot be used.
        """
        if (unsaved := self._unsaved.get(recording_id)) is not None:
            return unsaved
        found = None
        # What cannot be an id need not be looked up, nor may every database be asked for it.
        if _ID.fullmatch(recording_id) and not self.is_empty:
            await self.recover()
            try:
                found = await self._catalogue.get(self._node_name, recording_id)
            except CatalogueError as error:
                raise NotReady(str(error)) from error
        if found is None or recording_id in self._unwanted:
            raise NotFound(
                f"no recording {reprlib.repr(recording_id)} on this node; `palomar recordings "
                "list` shows those it has"
            )
        return found

    async def list(
        self, statuses: Collection[int], limit: int
    ) -> tuple[list[recordings_pb2.Recording], bool]:
        """Ended and other recordings, the newest first, and whether there are more.

        Raises:
            NotReady: the catalogue cannot be used.
        """
        if self.is_empty:
            return [], False
        await self.recover()
        try:
            found: Listing = await self._catalogue.list(
                self._node_name, statuses=statuses, limit=limit
            )
        except CatalogueError as error:
            raise NotReady(str(error)) from error
        entries = {one.id: one for one in found.recordings if one.id not in self._unwanted}
        # The catalogue may say that these are under way, or nothing of them.
        entries |= self._unsaved
        chosen = [one for one in entries.values() if not statuses or one.status in statuses]
        chosen.sort(key=lambda one: one.started.ToNanoseconds(), reverse=True)
        return chosen, found.truncated

    async def delete(self, recording: recordings_pb2.Recording) -> None:
        """Remove file and entry; a file that is gone already is no error.

        Raises:
            NotReady: the file or the entry cannot be removed.
        """
        try:
            if recording.file_name:
                await asyncio.to_thread(self._storage.delete, recording.file_name)
            await self._catalogue.delete(self._node_name, recording.id)
        except (CatalogueError, StorageError) as error:
            raise NotReady(str(error)) from error
        self._unsaved.pop(recording.id, None)

    async def recover(self) -> None:
        """Once for each database: make whole what a run before this one left in the middle.

        Raises:
            NotReady: the catalogue or the directory cannot be used; the next call tries again.
        """
        failures = self._failures
        async with self._recovering:
            # A database that was removed is made anew, and knows nothing of the files there are.
            if self._recovered and not self._catalogue.is_new:
                return
            self._recovered = False
            if self._failures != failures:
                # Who waited for somebody's attempt need not make another, one after the other.
                raise NotReady(self._failure)
            try:
                async for recording in self._recovery.recordings():
                    await self.finish(recording)
            except (CatalogueError, StorageError) as error:
                self._failures, self._failure = failures + 1, str(error)
                raise NotReady(str(error)) from error
            self._recovered = True

    async def tidy(self) -> None:
        """Remove what has expired or is too much, and note what could not be noted before.

        Raises:
            NotReady: the catalogue or a file cannot be used.
        """
        await self.recover()
        # First: a database that can be read but takes nothing must not keep files for ever.
        await self._expire()
        for recording in [*self._unsaved.values()]:
            # One that is gone meanwhile was removed by somebody.
            if recording.id in self._unsaved and not await self._save(recording):
                raise NotReady(f"the catalogue does not take {recording.id}")
        try:
            for recording_id in [*self._unwanted]:
                await self._catalogue.delete(self._node_name, recording_id)
                del self._unwanted[recording_id]
            for gone in await self._catalogue.delete_fileless(self._node_name, self._file_names):
                log.info("recording without its file forgotten", id=gone.id)
                await asyncio.to_thread(remove_sidecar, self._storage, gone.file_name)
        except (CatalogueError, StorageError) as error:
            raise NotReady(str(error)) from error

    async def close(self) -> None:
        """Let the catalogue go."""
        await self._catalogue.close()

    async def _expire(self) -> None:
        """Remove what has expired or is too much."""
        try:
            expired = await self._catalogue.expired(self._node_name, self._clock_ns())
            surplus = await self._catalogue.surplus(self._node_name)
        except CatalogueError as error:
            raise NotReady(str(error)) from error
        for recording in {one.id: one for one in (*expired, *surplus)}.values():
            try:
                await self.delete(recording)
            except NotReady as error:
                # The others are due, too.
                log.warning("recording has expired and stays", id=recording.id, why=str(error))
            else:
                log.info("recording expired", id=recording.id, file=recording.file_name)

    async def _save(self, recording: recordings_pb2.Recording) -> bool:
        """Have an entry say this; whether it does. If not, it is kept in mind."""
        try:
            if not await self._catalogue.update(recording):
                await self._catalogue.add(recording)
        except CatalogueError as error:
            why = str(error)
            log.warning("a recording's end is not in the catalogue", id=recording.id, why=why)
            self._unsaved[recording.id] = recording
            _shorten(self._unsaved)
            return False
        if self._unsaved.get(recording.id) is recording:
            del self._unsaved[recording.id]
        return True

    def _file_names(self) -> frozenset[str] | None:
        """Files that are there, or will be in a moment; None if the directory is not.

        Of a directory that is not there the disk may be missing, not the files.
        """
        names = names_in(self._storage.directory)
        if names is None:
            return None
        return frozenset(name.removesuffix(PARTIAL_SUFFIX) for name in names)

    def _set_expiry(self, recording: recordings_pb2.Recording) -> None:
        keep_ns = recording.request.keep.ToNanoseconds() or self._keep_ns
        recording.expires.FromNanoseconds(recording.ended.ToNanoseconds() + keep_ns)

    async def _write_sidecar(self, recording: recordings_pb2.Recording) -> None:
        if not recording.file_name:
            return
        text = MessageToJson(recording, preserving_proto_field_name=True)
        try:
            await asyncio.to_thread(write_sidecar, self._storage, recording.file_name, f"{text}\n")
        except StorageError as error:
            why = str(error)
            log.warning("the facts about a recording are not beside it", id=recording.id, why=why)


def _shorten(kept: dict[str, Any]) -> None:
    while len(kept) > _UNSAVED_MAX:
        del kept[next(iter(kept))]
