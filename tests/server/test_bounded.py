from __future__ import annotations

from palomar_server.bounded import BoundedMap


def test_what_is_put_is_there_until_it_is_forgotten() -> None:
    table: BoundedMap[str, int] = BoundedMap(2)
    table.put("a", 1)
    assert (table.get("a"), table.get("b"), len(table)) == (1, None, 1)
    table.put("a", None)
    assert (table.get("a"), len(table)) == (None, 0)


def test_keys_beyond_the_limit_are_refused_and_counted() -> None:
    table: BoundedMap[str, int] = BoundedMap(1)
    table.put("a", 1)
    table.put("b", 2)
    assert (table.get("b"), table.refused) == (None, 1)
    table.put("a", 3)
    assert (table.get("a"), table.refused) == (3, 1)


def test_only_a_change_is_a_new_generation() -> None:
    table: BoundedMap[str, int] = BoundedMap(1)
    table.put("b", None)
    assert table.generation == 0
    table.put("a", 1)
    table.put("a", 1)
    table.put("b", 2)
    assert table.generation == 1
    table.put("a", None)
    assert table.generation == 2
