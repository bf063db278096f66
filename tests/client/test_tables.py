from hypothesis import given
from hypothesis import strategies as st

from palomar.tables import table_text

CELLS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=8)


def test_columns_are_as_wide_as_their_widest_cell_and_a_gap() -> None:
    assert table_text([["NAME", "STATE"], ["default/node-1", "up"], ["", "x"]]) == (
        "NAME             STATE\n"
        "default/node-1   up\n"
        "                 x\n"
    )  # fmt: skip


def test_a_short_row_ends_the_columns_it_does_not_reach() -> None:
    rows = [["NAMESPACE", "CLUSTER"], ["shop", "default"], ["b"], ["", "c"]]
    assert table_text(rows) == "NAMESPACE   CLUSTER\nshop        default\nb\n   c\n"


def test_no_rows_are_no_text() -> None:
    assert table_text([]) == ""


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1))
def test_cells_begin_at_the_same_place_in_every_row(rows: list[tuple[str, str, str]]) -> None:
    lines = table_text(rows).split("\n")[:-1]
    second = max(len(row[0]) for row in rows) + 3
    third = second + max(len(row[1]) for row in rows) + 3
    for line, row in zip(lines, rows, strict=True):
        assert line[:second].rstrip() == row[0].rstrip()
        assert line[second:third].rstrip() == row[1].rstrip()
        assert line[third:] == row[2]
