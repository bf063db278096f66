from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palomar_server.interned import Interned


@given(st.lists(st.text(max_size=2)))
def test_a_value_keeps_its_row(values: list[str]) -> None:
    table = Interned("none", rows_max=1000)
    rows = [table.row(value) for value in values]
    assert [table.value(row) for row in rows] == values
    assert [table.row(value) for value in values] == rows
    assert len(table) == 1 + len(set(values))


def test_row_zero_means_none() -> None:
    table = Interned("nothing")
    assert table.value(0) == "nothing"
    assert table.row("nothing") == 1


def test_a_full_table_refuses_and_counts_but_knows_what_it_has() -> None:
    table = Interned("", rows_max=2)
    assert [table.row(value) for value in ("a", "b", "c", "c", "a")] == [1, 2, 0, 0, 1]
    assert table.refused == 2
    assert len(table) == 3


def test_a_full_table_gives_a_new_value_the_row_that_no_event_can_mean_any_more() -> None:
    table = Interned("", rows_max=2)
    assert [table.row("a", 10), table.row("b", 20), table.row("a", 30)] == [1, 2, 1]
    assert table.row("c", 40, oldest_ns=20) == 0
    assert table.refused == 1
    assert table.row("c", 40, oldest_ns=21) == 2
    assert (table.value(2), table.generation) == ("c", 1)
    assert table.row("a", 50, oldest_ns=21) == 1
