"""What alembic runs for every command: migrations on the connection that `schema` hands over."""

from __future__ import annotations

from alembic import context

from palomar_server.catalogue.schema import VERSION_TABLE
from palomar_server.catalogue.tables import METADATA

# Within the caller's transaction, on SQLite too: a migration happens whole or not at all.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
