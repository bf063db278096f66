"""The database behind the catalogue: SQLite in a file, or PostgreSQL.

In: rows, and what to look for. Out: messages as bytes. Called by `catalogue`, which imports this
module only when it is first used.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy import URL, NullPool, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from palomar_server.catalogue.database_file import is_disk_full, make_database_file
from palomar_server.catalogue.database_url import (
    POSTGRESQL,
    SQLITE,
    check_database_url,
    scrubbed,
    sqlite_path,
    without_password,
)
from palomar_server.catalogue.errors import CatalogueError
from palomar_server.catalogue.row import status_name
from palomar_server.catalogue.schema import migrate
from palomar_server.catalogue.tables import RECORDINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from palomar_server.catalogue.row import Value

_CONNECTIONS_MAX = 4
_WAIT_MAX_S = 10.0
"""For a turn, a lock of SQLite's file, a connection to PostgreSQL, or an answer of it."""
_LOOK_S = 0.01
"""How often it is tried again what SQLite refuses for a lock."""


class Database:
    """An open database. Every call may raise `CatalogueError`.

    A connection is made for each call and closed after it: a node has seldom something to say, and
    a thousand nodes must not hold a thousand connections of one PostgreSQL.

    Args:
        url: of the database, as `check_database_url` allows it.
    """

    def __init__(self, url: str) -> None:
        try:
            check_database_url(url)
        except ValueError as error:
            raise CatalogueError(f"the database's address {error}") from None
        self._url = url
        self._path = sqlite_path(url)
        self._turns = asyncio.Semaphore(_CONNECTIONS_MAX)
        self._engine = create_async_engine(
            url if self._path is None else _existing(self._path),
            poolclass=NullPool,
            # Rows tell who records what: not for the text of an error.
            hide_parameters=True,
            connect_args=(
                {"timeout": _WAIT_MAX_S, "command_timeout": _WAIT_MAX_S}
                if url.startswith(POSTGRESQL)
                else {"timeout": _WAIT_MAX_S}
            ),
        )

    async def open(self) -> None:
        """Make the file if there is none, and bring the schema up to date."""
        if self._path is not None:
            await self._open_file(self._path)
        async with self._connected() as connection:
            if self._path is not None:
                # Before anything is read: of two who read first and then write, one would fail.
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            await connection.run_sync(migrate)

    async def close(self) -> None:
        """Let go of what the engine holds."""
        await self._engine.dispose()

    async def insert(self, row: Mapping[str, Value]) -> None:
        """A new row."""
        async with self._connected() as connection:
            await connection.execute(RECORDINGS.insert().values(**row))

    async def update(self, row: Mapping[str, Value]) -> bool:
        """Other values for the row of that node and id; whether there is one."""
        keys = {"node_name": row["node_name"], "id": row["id"]}
        values = {name: value for name, value in row.items() if name not in keys}
        async with self._connected() as connection:
            result = await connection.execute(
                RECORDINGS.update().filter_by(**keys).values(**values)
            )
            return result.rowcount > 0

    async def delete(self, node_name: str, *ids: str) -> bool:
        """Remove rows; whether there was one."""
        async with self._connected() as connection:
            result = await connection.execute(
                RECORDINGS.delete().where(
                    RECORDINGS.c.node_name == node_name, RECORDINGS.c.id.in_(ids)
                )
            )
            return result.rowcount > 0

    async def select(
        self,
        node_name: str,
        *,
        ids: Collection[str] = (),
        statuses: Collection[int] = (),
        limit: int,
    ) -> list[bytes]:
        """Messages of a node's recordings, the newest first.

        Args:
            node_name: the node.
            ids: only these; empty for all.
            statuses: numbers of `RecordingStatus`; only these; empty for all.
            limit: at most so many.
        """
        query = select(RECORDINGS.c.recording).where(RECORDINGS.c.node_name == node_name)
        if ids:
            query = query.where(RECORDINGS.c.id.in_(ids))
        if statuses:
            query = query.where(RECORDINGS.c.status.in_(map(status_name, statuses)))
        newest_first = (RECORDINGS.c.started_ns.desc(), RECORDINGS.c.id.desc())
        return await self._messages(query.order_by(*newest_first).limit(limit))

    async def select_expired(self, node_name: str, now_ns: int, limit: int) -> list[bytes]:
        """Messages of recordings that expire then or before, the first due first."""
        return await self._messages(
            select(RECORDINGS.c.recording)
            .where(RECORDINGS.c.node_name == node_name, RECORDINGS.c.expires_ns <= now_ns)
            .order_by(RECORDINGS.c.expires_ns)
            .limit(limit)
        )

    async def select_surplus(
        self, node_name: str, rows_max: int, without: Collection[int], limit: int
    ) -> list[bytes]:
        """Messages of the oldest recordings, so many as there are more than `rows_max`.

        Args:
            node_name: the node.
            rows_max: so many may stay.
            without: numbers of `RecordingStatus`; those with one of these do not count.
            limit: at most so many.
        """
        chosen = (
            RECORDINGS.c.node_name == node_name,
            RECORDINGS.c.status.not_in(map(status_name, without)),
        )
        async with self._connected() as connection:
            count = await connection.scalar(select(func.count()).where(*chosen))
            if (surplus := (count or 0) - rows_max) <= 0:
                return []
            oldest_first = (RECORDINGS.c.started_ns, RECORDINGS.c.id)
            query = select(RECORDINGS.c.recording).where(*chosen).order_by(*oldest_first)
            return list(await connection.scalars(query.limit(min(surplus, limit))))

    async def files(
        self, node_name: str, without: Collection[int] = ()
    ) -> Sequence[tuple[str, str]]:
        """Id and file name of each recording that has one and none of these statuses."""
        query = select(RECORDINGS.c.id, RECORDINGS.c.file_name).where(
            RECORDINGS.c.node_name == node_name,
            RECORDINGS.c.file_name != "",
            RECORDINGS.c.status.not_in(map(status_name, without)),
        )
        async with self._connected() as connection:
            return [(row.id, row.file_name) for row in await connection.execute(query)]

    async def _messages(self, query: Select[tuple[bytes]]) -> list[bytes]:
        async with self._connected() as connection:
            return list(await connection.scalars(query))

    async def _open_file(self, path: Path) -> None:
        try:
            await asyncio.to_thread(make_database_file, path)
        except OSError as error:
            raise self._error(_text(error)) from error
        async with self._connected() as connection:
            await _use_wal(connection)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection within a transaction, which is committed unless something fails."""
        is_connected = False
        try:
            # Behind many others who wait for a database that does not answer, it would be long.
            async with asyncio.timeout(_WAIT_MAX_S):
                await self._turns.acquire()
            try:
                async with self._engine.begin() as connection:
                    is_connected = True
                    yield connection
            finally:
                self._turns.release()
        except Exception as error:
            # Without a connection, the driver raises whatever it likes.
            if is_connected and not isinstance(error, CatalogueError | SQLAlchemyError | OSError):
                raise
            # Not with that as its cause, whose text might have the password.
            raise self._error(_text(error)) from None

    def _error(self, text: str) -> CatalogueError:
        if self._path is not None and is_disk_full(self._path):
            text += "; its disk is full: make room, by removing recorded files, say"
        what = f"the catalogue's database {without_password(self._url)}: {text}"
        return CatalogueError(scrubbed(what, self._url))


def _existing(path: Path) -> URL:
    """The address of a SQLite file that is there.

    By its plain path, SQLite would make one that is not: empty, and for others to read.
    """
    query = {"mode": "rw", "uri": "true"}
    return URL.create(SQLITE, database=f"file://{quote(str(path))}", query=query)


async def _use_wal(connection: AsyncConnection) -> None:
    """Have readers and the one writer of a SQLite file not wait for each other; kept in the file.

    Of several who do so with a new file at once, SQLite refuses all but one without waiting.
    """
    deadline_s = time.monotonic() + _WAIT_MAX_S
    while True:
        try:
            await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        except OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() > deadline_s:
                raise
            await asyncio.sleep(_LOOK_S)
        else:
            return


def _text(error: Exception) -> str:
    """What an error says, in one line."""
    if isinstance(error, IntegrityError):
        return "there is an entry of this node and id already"
    if isinstance(error, TimeoutError):
        return f"no answer within {_WAIT_MAX_S:g} s"
    # asyncio's own words are of a call that failed. Negative numbers are of names, not of calls.
    if isinstance(error, OSError) and (number := error.errno or 0) > 0:
        what = os.strerror(number)
        return f"{error.filename}: {what}" if error.filename else what
    lines = str(error.orig if isinstance(error, DBAPIError) else error).splitlines()
    return lines[0] if lines else type(error).__name__
