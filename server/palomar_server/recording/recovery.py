"""What a run before left in the middle: files without an end, entries that do not fit the files.

In: the directory and the catalogue's entries. Out: recordings as they turned out, for the archive
to note. What is wrong with one of them is logged, and keeps nobody from the others.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import zlib
from typing import TYPE_CHECKING

import structlog
from google.protobuf.json_format import Parse, ParseError

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.name import PARTIAL_SUFFIX, SUFFIXES, node_part
from palomar_recorder.sidecar import read_sidecar
from palomar_recorder.storage import StorageError
from palomar_server.catalogue.catalogue import UNDER_WAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from palomar_recorder.storage import Storage
    from palomar_server.catalogue.catalogue import Catalogue

log = structlog.get_logger(__name__)

_INTERRUPTED = recordings_pb2.RECORDING_STATUS_INTERRUPTED
_READ_BYTES = 1 << 20
_NAME_CHARACTERS_MAX = 40
"""Of a recording's name, which its id begins with."""
_FOREIGN = re.compile(r"[^a-z0-9]+")
_OWN_STEM = re.compile(r"([a-z][a-z0-9-]*-[0-9a-f]{8})_")
"""What `palomar_recorder.name.file_stem` makes of our ids."""
_NO_ENTRY = "found without an entry in the catalogue"
_KILLED = "palomard ended without a word; all packets up to then are there"


class Recovery:
    """Of one node, before its first recording of this run.

    Args:
        storage: the directory of the files.
        catalogue: the database.
        node_name: as cluster/node: whose entries these are.
        clock_ns: UTC ns.
    """

    def __init__(
        self,
        storage: Storage,
        catalogue: Catalogue,
        *,
        node_name: str,
        clock_ns: Callable[[], int],
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._node_name = node_name
        self._clock_ns = clock_ns

    async def recordings(self) -> AsyncIterator[recordings_pb2.Recording]:
        """Recordings whose entries are to be written anew, one by one.

        Raises:
            CatalogueError: the database cannot be used.
            StorageError: the directory cannot be used.
        """
        orphans = set(await asyncio.to_thread(self._storage.orphans))
        # Entries under way are of a run before: this one has noted none yet.
        listing = await self._catalogue.list(self._node_name, statuses=UNDER_WAY)
        for recording in listing.recordings:
            orphan = f"{recording.file_name}{PARTIAL_SUFFIX}"
            if orphan in orphans:
                orphans.discard(orphan)
                yield await self._adopted(orphan, recording, _KILLED)
            elif (self._storage.directory / orphan).exists():
                # Another palomard of this node is still writing to it.
                continue
            else:
                # It may have ended just before that could be noted.
                yield await asyncio.to_thread(self._ended, recording)
        for orphan in sorted(orphans):
            yield await self._without_writer(orphan)
        known = await self._catalogue.file_names(self._node_name)
        for file_name in await asyncio.to_thread(self._finished_names):
            if file_name not in known:
                yield await asyncio.to_thread(self._without_entry, file_name)

    async def _without_writer(self, orphan: str) -> recordings_pb2.Recording:
        """An orphan that no entry says to be under way."""
        recording = self._found(orphan.removesuffix(PARTIAL_SUFFIX))
        # An attempt to adopt it may have failed before.
        entry = await self._catalogue.get(self._node_name, recording.id)
        if entry is not None and entry.file_name == recording.file_name:
            return await self._adopted(orphan, entry, entry.message or _KILLED)
        return await self._adopted(orphan, recording, _NO_ENTRY)

    async def _adopted(
        self, orphan: str, recording: recordings_pb2.Recording, message: str
    ) -> recordings_pb2.Recording:
        """Give an orphan its final name, and note its size and checksum."""
        try:
            adopted = await asyncio.to_thread(self._storage.adopt, orphan)
        except StorageError as error:
            log.warning("an unfinished recording stays as it is", id=recording.id, why=str(error))
            return self._interrupted(recording, f"palomard ended without a word; {error}")
        recording.file_bytes, recording.sha256 = adopted.file_bytes, adopted.sha256
        return self._interrupted(recording, message)

    def _ended(self, recording: recordings_pb2.Recording) -> recordings_pb2.Recording:
        """What became of one whose file has its final name, or is gone."""
        if recording.file_name:
            beside = self._beside(recording.file_name)
            if beside is not None and beside.id == recording.id:
                return beside
            self._measure(recording)
        return self._interrupted(recording, _KILLED)

    def _without_entry(self, file_name: str) -> recordings_pb2.Recording:
        """A finished file of which the catalogue knows nothing: another database, or a lost one."""
        recording = self._beside(file_name)
        if recording is None:
            recording = self._found(file_name)
            self._measure(recording)
            self._interrupted(recording, _NO_ENTRY)
        log.warning("recording entered into the catalogue again", id=recording.id, file=file_name)
        return recording

    def _beside(self, file_name: str) -> recordings_pb2.Recording | None:
        """What the sidecar says of a recording that has ended; None if it does not."""
        recording = recordings_pb2.Recording()
        try:
            Parse(read_sidecar(self._storage, file_name), recording, ignore_unknown_fields=True)
        except (StorageError, ParseError, ValueError):
            return None
        is_its_own = recording.file_name == file_name and recording.node_name == self._node_name
        if is_its_own and recording.id and recording.status not in UNDER_WAY:
            return recording
        return None

    def _found(self, file_name: str) -> recordings_pb2.Recording:
        """All that the name of a file tells."""
        stem = file_name.rpartition(".")[0]
        own = _OWN_STEM.match(stem)
        recording = recordings_pb2.Recording(
            id=own[1] if own else _made_id(file_name),
            node_name=self._node_name,
            file_name=file_name,
        )
        recording.started.FromNanoseconds(self._clock_ns())
        return recording

    def _finished_names(self) -> list[str]:
        """Files of this node, which another node's may lie beside."""
        end = f"_{node_part(self._node_name.rpartition('/')[2])}"
        return [
            name
            for name in sorted(names_in(self._storage.directory) or ())
            if name.endswith(SUFFIXES) and name.rpartition(".")[0].endswith(end)
        ]

    def _interrupted(
        self, recording: recordings_pb2.Recording, message: str
    ) -> recordings_pb2.Recording:
        recording.status = _INTERRUPTED
        recording.end = recordings_pb2.RECORDING_END_INTERRUPTED
        recording.message = message
        recording.ended.FromNanoseconds(self._clock_ns())
        log.warning("recording was interrupted", id=recording.id, file=recording.file_name)
        return recording

    def _measure(self, recording: recordings_pb2.Recording) -> None:
        """Note size and checksum of a file that has its final name, if it is there."""
        try:
            with self._storage.open(recording.file_name) as file:
                checksum = hashlib.sha256()
                while piece := file.read(_READ_BYTES):
                    checksum.update(piece)
                recording.sha256, recording.file_bytes = checksum.hexdigest(), file.tell()
        except (OSError, StorageError) as error:
            log.warning("the file of a recording is not there", id=recording.id, why=str(error))


def _made_id(file_name: str) -> str:
    """An id for a file whose name has none, as those of `recorder.Recorder`; always the same.

    It looks like all others: clients download no recording whose id does not.
    """
    name = _FOREIGN.sub("-", file_name.lower()).lstrip("-0123456789")[:_NAME_CHARACTERS_MAX]
    return f"{name}-{zlib.crc32(file_name.encode()):08x}"


def names_in(directory: Path) -> list[str] | None:
    """What is in the directory; None if it is not there, or cannot be read."""
    try:
        return [path.name for path in directory.iterdir()]
    except OSError:
        return None
