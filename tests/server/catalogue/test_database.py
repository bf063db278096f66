from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
import traceback
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from palomar_proto.palomar.v1 import recordings_pb2 as pb
from palomar_server.catalogue import database as database_module
from palomar_server.catalogue.database import Database
from palomar_server.catalogue.errors import CatalogueError
from palomar_server.catalogue.row import row_of

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr:t/@"  # noqa: S105 -- nothing's


async def open_and_close(url: str) -> None:
    database = Database(url)
    try:
        await database.open()
    finally:
        await database.close()


async def error_of(url: str) -> str:
    """What opening it says, with all that a traceback would show."""
    with pytest.raises(CatalogueError) as caught:
        await open_and_close(url)
    shown = "".join(traceback.format_exception(caught.value))
    for secret in (SECRET, quote(SECRET, safe="")):
        assert secret not in shown
    return str(caught.value)


def postgres_address(host: str, rest: str = "") -> str:
    return f"postgresql+asyncpg://user:{quote(SECRET, safe='')}@{host}/name{rest}"


async def test_an_address_that_is_wrong_is_told_without_it() -> None:
    text = await error_of(f"mysql://user:{SECRET}@host/name")
    assert text.startswith("the database's address must be sqlite+aiosqlite:///PATH or")


async def test_a_server_that_is_not_there_is_told_with_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = await error_of(postgres_address(f"127.0.0.1:{port}"))
    assert f"postgresql+asyncpg://user:***@127.0.0.1:{port}/name: " in text
    assert text.endswith("Connection refused")


async def test_a_server_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "_WAIT_MAX_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        text = await error_of(postgres_address(f"127.0.0.1:{silent.getsockname()[1]}"))
    assert text.endswith("no answer within 0.2 s")


@pytest.mark.usefixtures("postgres")
async def test_a_wrong_password_is_told_without_it(postgres_url: str) -> None:
    wrong = re.sub(r":[^:@]*@", f":{quote(SECRET, safe='')}@", postgres_url)
    assert wrong != postgres_url
    assert 'password authentication failed for user "palomar"' in await error_of(wrong)


async def test_a_database_that_the_server_does_not_have_is_told(postgres_url: str) -> None:
    absent = re.sub(r"/palomar\d+\?", "/absent?", postgres_url)
    assert 'database "absent" does not exist' in await error_of(absent)


async def test_an_option_that_the_driver_does_not_know_is_told() -> None:
    assert "unexpected keyword argument 'colour'" in await error_of(
        postgres_address("host", "?colour=red")
    )


async def test_a_file_that_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "palomar.db"
    path.write_bytes(b"something else entirely " * 100)
    assert (await error_of(f"sqlite+aiosqlite:///{path}")).endswith(
        f"{path}: file is not a database"
    )
    assert path.read_bytes() == b"something else entirely " * 100


async def test_a_table_of_somebody_else_is_told(tmp_path: Path) -> None:
    path = tmp_path / "palomar.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recordings (song TEXT)")
    assert "table recordings already exists" in await error_of(f"sqlite+aiosqlite:///{path}")


async def test_sqlite_files_are_for_this_user_alone_while_in_use(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    await database.open()
    path = database._path
    assert path is not None
    with closing(sqlite3.connect(path)) as reader:
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        reader.execute("SELECT * FROM recordings").fetchall()
        await database.insert(row_of(pb.Recording(node_name="node", id="a")))
        modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    assert modes == {"palomar.db": 0o600, "palomar.db-wal": 0o600, "palomar.db-shm": 0o600}
    await database.close()


@pytest.mark.parametrize("name", ["palomar.db", "a b#c&d=e.db", "/palomar.db"])
async def test_a_file_that_is_gone_is_not_made_by_who_has_it_open(
    tmp_path: Path, name: str
) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/{name}")
    await database.open()
    path = tmp_path / name.removeprefix("/")
    assert await database.select("node", limit=1) == []
    path.unlink()
    with pytest.raises(CatalogueError, match="unable to open database file"):
        await database.select("node", limit=1)
    await database.close()
    assert not path.exists()


async def test_a_new_file_that_another_is_opening_is_waited_for(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    path = database._path
    assert path is not None
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        # Such a lock SQLite does not wait for, however long it is told to.
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.TaskGroup() as tasks:
            opening = tasks.create_task(database.open())
            done, _ = await asyncio.wait((opening,), timeout=0.1)
            assert not done
            other.execute("ROLLBACK")
    assert await database.select("node", limit=1) == []
    await database.close()


async def test_a_locked_file_is_waited_for(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(sqlite_url)
    await database.open()
    await database.close()
    monkeypatch.setattr(database_module, "_WAIT_MAX_S", 0.2)
    impatient = Database(sqlite_url)
    path = database._path
    assert path is not None
    row = row_of(pb.Recording(node_name="node", id="a"))
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogueError, match="database is locked"):
            await impatient.insert(row)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(database.insert(row))
            await asyncio.sleep(0.05)
            writer.execute("COMMIT")
    assert await impatient.select("node", limit=1) == [row["recording"]]
    await impatient.close()


async def test_a_defect_is_not_taken_for_a_fault_of_the_database(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    await database.open()
    with pytest.raises(KeyError):
        async with database._connected():
            raise KeyError("x")
    await database.close()


async def test_who_gets_no_turn_is_told_in_time(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    monkeypatch.setattr(database_module, "_WAIT_MAX_S", 0.05)
    monkeypatch.setattr(database_module, "_CONNECTIONS_MAX", 0)
    assert (await error_of(sqlite_url)).endswith("no answer within 0.05 s")
