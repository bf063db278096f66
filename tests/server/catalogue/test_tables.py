from __future__ import annotations

from palomar_server.catalogue.tables import METADATA, RECORDINGS


def test_a_recording_is_known_by_its_node_and_id() -> None:
    assert [column.name for column in RECORDINGS.primary_key] == ["node_name", "id"]


def test_all_that_is_looked_up_is_of_one_node() -> None:
    for index in RECORDINGS.indexes:
        assert next(iter(index.columns)).name == "node_name"


def test_there_is_no_other_table() -> None:
    assert [*METADATA.tables] == ["recordings"]
