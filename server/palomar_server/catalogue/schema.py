"""The schema of the database, from one release to the next.

In: a connection within a transaction. Out: the tables as this release knows them. Called by
`database` when it opens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import column, inspect, select, table, text

from palomar_server.catalogue.errors import CatalogueError

if TYPE_CHECKING:
    from sqlalchemy import Connection

SCHEMA = "0001"
"""Revision that this release works with, the last of `migrations/versions`."""
VERSION_TABLE = "palomar_schema"
"""Where the database keeps its revision: not alembic's usual name, which another application in the
same database may have."""
MIGRATIONS = "palomar_server.catalogue:migrations"
_LOCK = 0x70616C6F6D6172
"""Of PostgreSQL's advisory locks: "palomar"."""


def schema_of(connection: Connection) -> str | None:
    """The revision of the database; None for one without palomar's tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = table(VERSION_TABLE, column("version_num"))
    revision: str | None = connection.execute(select(version.c.version_num)).scalar()
    return revision


def migrate(connection: Connection) -> None:
    """Bring the schema up to date, within the connection's transaction, which the caller commits.

    Of several at once, one does it and the others wait: for SQLite the caller begins the
    transaction with BEGIN IMMEDIATE, for PostgreSQL there is a lock here.

    Raises:
        CatalogueError: the database is of a later release.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    revision = schema_of(connection)
    if revision == SCHEMA:
        return
    # Only here: alembic costs 12 MB of memory, and mostly there is nothing for it to do.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", MIGRATIONS)
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise CatalogueError(
            f"its schema is {revision!r}, and this palomard knows up to {SCHEMA!r}: a later "
            "release has used it. Run that release, or name another database in database_url"
        )
    command.upgrade(config, SCHEMA)
