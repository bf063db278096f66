from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import column, inspect, table
from sqlalchemy.ext.asyncio import create_async_engine

from palomar_server.catalogue.catalogue import Catalogue
from palomar_server.catalogue.database_url import SQLITE
from palomar_server.catalogue.errors import CatalogueError
from palomar_server.catalogue.schema import MIGRATIONS, SCHEMA, VERSION_TABLE, migrate, schema_of
from palomar_server.catalogue.tables import METADATA

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"{SQLITE}:///{tmp_path}/palomar.db"


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def connection(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


async def test_migrations_make_the_tables_that_the_release_knows(
    connection: AsyncConnection,
) -> None:
    def differences(connection: Connection) -> object:
        options = {"compare_type": True, "version_table": VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, METADATA)

    assert await connection.run_sync(schema_of) is None
    await connection.run_sync(migrate)
    assert await connection.run_sync(schema_of) == SCHEMA
    assert await connection.run_sync(differences) == []


async def test_what_is_up_to_date_stays_as_it_is(connection: AsyncConnection) -> None:
    for _ in range(2):
        await connection.run_sync(migrate)
    assert await connection.run_sync(schema_of) == SCHEMA


async def test_a_migration_happens_whole_or_not_at_all(
    engine: AsyncEngine, connection: AsyncConnection
) -> None:
    await connection.run_sync(migrate)
    await connection.rollback()
    async with engine.connect() as other:
        assert await other.run_sync(lambda it: inspect(it).get_table_names()) == []


async def test_a_database_of_a_later_release_is_refused_and_left_alone(
    url: str, engine: AsyncEngine
) -> None:
    catalogue = Catalogue(url)
    await catalogue.open()
    await catalogue.close()
    async with engine.begin() as connection:
        later = table(VERSION_TABLE, column("version_num")).update().values(version_num="9999")
        await connection.execute(later)
    with pytest.raises(
        CatalogueError, match=r"its schema is '9999', and this palomard knows up to '0001'"
    ):
        await catalogue.open()
    async with engine.connect() as connection:
        assert await connection.run_sync(schema_of) == "9999"


def test_the_release_works_with_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", MIGRATIONS)
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA]
