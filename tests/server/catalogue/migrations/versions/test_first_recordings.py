from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from palomar_server.catalogue.migrations.versions import first_recordings

if TYPE_CHECKING:
    from sqlalchemy import Connection


def upgrade_and_downgrade(connection: Connection) -> list[list[str]]:
    names = []
    with Operations.context(MigrationContext.configure(connection)):
        for step in (first_recordings.upgrade, first_recordings.downgrade):
            step()
            names.append(inspect(connection).get_table_names())
    return names


def test_what_sqlite_gets_can_be_taken_back() -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        assert upgrade_and_downgrade(connection) == [["recordings"], []]
    engine.dispose()


async def test_what_postgres_gets_can_be_taken_back(postgres_url: str) -> None:
    engine = create_async_engine(postgres_url)
    async with engine.begin() as connection:
        assert await connection.run_sync(upgrade_and_downgrade) == [["recordings"], []]
    await engine.dispose()


def test_it_is_the_first() -> None:
    assert (first_recordings.revision, first_recordings.down_revision) == ("0001", None)
