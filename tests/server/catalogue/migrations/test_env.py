from __future__ import annotations

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect

from palomar_server.catalogue.schema import MIGRATIONS, VERSION_TABLE


def config(**attributes: object) -> Config:
    made = Config(attributes=attributes)
    made.set_main_option("script_location", MIGRATIONS)
    made.set_main_option("path_separator", "os")
    return made


def test_migrations_take_the_connection_that_they_are_given() -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        command.upgrade(config(connection=connection), "head")
        assert inspect(connection).get_table_names() == [VERSION_TABLE, "recordings"]
    engine.dispose()


def test_without_a_connection_they_do_nothing() -> None:
    with pytest.raises(KeyError, match="connection"):
        command.upgrade(config(), "head")
