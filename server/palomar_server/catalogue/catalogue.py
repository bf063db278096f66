"""The catalogue of recordings: messages in and out, a database behind.

In: `palomar.v1.Recording`. Out: the same. Called by the recorder, on its event loop.

Several nodes may share one database: every call names the node, and sees only that node's entries.

The database's libraries cost some 25 MB of memory, and 12 more when the schema changes. They are
loaded, and the database is opened, by the first call and not before: a daemon that never records
never pays for them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from palomar_proto.palomar.v1 import recordings_pb2 as pb
from palomar_server.catalogue.database_url import sqlite_path
from palomar_server.catalogue.errors import CatalogueError
from palomar_server.catalogue.row import recording_of, row_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from palomar_server.catalogue.database import Database

LIST_MAX = 1_000
"""Entries that one call gives at most."""
ENTRIES_MAX = 10_000
"""Entries of one node beyond which the oldest are surplus: a caller who begins and ends streams all
day must not fill the database."""

UNDER_WAY = (
    pb.RECORDING_STATUS_STARTING,
    pb.RECORDING_STATUS_ARMED,
    pb.RECORDING_STATUS_RUNNING,
    pb.RECORDING_STATUS_STOPPING,
)
"""Statuses of recordings that have not ended. Where palomard has just begun, entries with one of
these are left from a run that ended without a word."""


class Listing(NamedTuple):
    """Some entries."""

    recordings: tuple[pb.Recording, ...]
    """The newest first."""
    truncated: bool
    """Whether there are more."""


class Catalogue:
    """Entries of recordings. For one event loop; calls may overlap.

    Every call but `close` may raise `CatalogueError`. One that fails leaves the database as it was,
    and the next tries anew, also to open it.

    Args:
        url: of the database, as the setting `database_url` has it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opening = asyncio.Lock()
        self._database: Database | None = None
        self._failures = 0
        self._failure = ""

    @property
    def is_new(self) -> bool:
        """Whether there is certainly no entry: the database is a file that does not exist yet.

        Costs nothing, and loads nothing. Of a database server nothing is certain.
        """
        path = sqlite_path(self._url)
        try:
            return path is not None and not path.exists()
        except OSError:  # whoever opens it is told why it cannot be told
            return False

    async def open(self) -> None:
        """Open the database, and bring its schema up to date, as any other call does by itself."""
        await self._opened()

    async def close(self) -> None:
        """Let the database go. A later call opens it again."""
        async with self._opening:
            database, self._database = self._database, None
        if database is not None:
            await database.close()

    async def add(self, recording: pb.Recording) -> None:
        """A new entry; an error if the node has one of that id."""
        await (await self._opened()).insert(row_of(recording))

    async def update(self, recording: pb.Recording) -> bool:
        """Put a recording in place of what its entry says so far.

        Returns:
            Whether there was one; else nothing is written.
        """
        return await (await self._opened()).update(row_of(recording))

    async def get(self, node_name: str, recording_id: str) -> pb.Recording | None:
        """The entry of that id; None if there is none."""
        messages = await (await self._opened()).select(node_name, ids=(recording_id,), limit=1)
        return recording_of(messages[0]) if messages else None

    async def list(
        self, node_name: str, *, statuses: Collection[int] = (), limit: int = LIST_MAX
    ) -> Listing:
        """A node's entries, the newest first.

        Args:
            node_name: the node.
            statuses: numbers of `RecordingStatus`; only entries with one of these; empty for all.
            limit: at most so many; 0, and more than `LIST_MAX`, stand for `LIST_MAX`.
        """
        limit = min(limit or LIST_MAX, LIST_MAX)
        messages = await (await self._opened()).select(
            node_name, statuses=statuses, limit=limit + 1
        )
        return Listing(tuple(map(recording_of, messages[:limit])), len(messages) > limit)

    async def delete(self, node_name: str, recording_id: str) -> bool:
        """Remove an entry; whether there was one."""
        return await (await self._opened()).delete(node_name, recording_id)

    async def expired(self, node_name: str, now_ns: int) -> Sequence[pb.Recording]:
        """Entries whose time is over, the first due first, at most `LIST_MAX`.

        Args:
            node_name: the node.
            now_ns: UTC ns; an entry that expires at just this time has expired.
        """
        messages = await (await self._opened()).select_expired(node_name, now_ns, LIST_MAX)
        return tuple(map(recording_of, messages))

    async def surplus(
        self, node_name: str, entries_max: int = ENTRIES_MAX
    ) -> Sequence[pb.Recording]:
        """The oldest of the ended ones that are more than a node may have, at most `LIST_MAX`.

        Whoever asks removes their files, and then the entries.
        """
        messages = await (await self._opened()).select_surplus(
            node_name, entries_max, UNDER_WAY, LIST_MAX
        )
        return tuple(map(recording_of, messages))

    async def file_names(self, node_name: str) -> frozenset[str]:
        """The files of all of a node's entries."""
        files = await (await self._opened()).files(node_name)
        return frozenset(file_name for _, file_name in files)

    async def delete_fileless(
        self, node_name: str, file_names: Callable[[], Collection[str] | None]
    ) -> Sequence[pb.Recording]:
        """Remove the entries of ended recordings that had a file which is there no longer.

        Entries of streams, which never had one, stay until they expire.

        Args:
            node_name: the node.
            file_names: gives the files that are there; None if that cannot be told. Called in a
                thread when the entries are known: what ends meanwhile must not seem to be gone.

        Returns:
            What was removed.
        """
        database = await self._opened()
        ended = await database.files(node_name, UNDER_WAY)
        there = await asyncio.to_thread(file_names)
        if there is None:
            return ()
        there = frozenset(there)
        gone = [recording_id for recording_id, file_name in ended if file_name not in there]
        removed: tuple[pb.Recording, ...] = ()
        for first in range(0, len(gone), LIST_MAX):
            ids = gone[first : first + LIST_MAX]
            messages = await database.select(node_name, ids=ids, limit=len(ids))
            await database.delete(node_name, *ids)
            removed += tuple(map(recording_of, messages))
        return removed

    async def _opened(self) -> Database:
        failures = self._failures
        async with self._opening:
            # A file that was removed is made anew.
            if self._database is not None and not self.is_new:
                return self._database
            if self._failures != failures:
                # Who waited for somebody's attempt need not make another, one after the other.
                raise CatalogueError(self._failure)
            try:
                # In a thread: importing takes a third of a second.
                database = await asyncio.to_thread(_make_database, self._url)
                await database.open()
            except CatalogueError as error:
                self._failures, self._failure = failures + 1, str(error)
                raise
            gone, self._database = self._database, database
            if gone is not None:
                await gone.close()
            return database


def _make_database(url: str) -> Database:
    # Here: see the module's docstring.
    from palomar_server.catalogue.database import Database  # noqa: PLC0415

    return Database(url)
