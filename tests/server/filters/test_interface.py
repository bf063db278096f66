from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import EndpointTable
from palomar_server.interned import Interned
from palomar_server.surroundings import Interface, Surroundings
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import compiled, selected, view_in

Link = flow_pb2.NetworkInterface
ROWS = flow_rows(4, interface=range(4))


@pytest.fixture
def surroundings() -> Surroundings:
    surroundings = Surroundings(EndpointTable())
    for index, name in ((1, "eth0"), (2, "lxc1"), (1, "lxc1")):
        surroundings.interface(index, name)
    return surroundings


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([Link(index=1)], [1, 3]),
        ([Link(name="lxc1")], [2, 3]),
        ([Link(index=1, name="lxc1")], [3]),
        ([Link(name="lxc1"), Link(index=1, name="eth0")], [1, 2, 3]),
        ([Link()], [1, 2, 3]),
        ([Link(name="lxc")], []),
    ],
)
def test_interfaces_match_by_what_is_given_of_index_and_name(
    surroundings: Surroundings, wanted: list[Link], expected: list[int]
) -> None:
    assert selected(ROWS, surroundings, interface=wanted) == expected


def test_interfaces_that_come_later_are_seen(surroundings: Surroundings) -> None:
    late = compiled(surroundings, interface=[Link(name="new")])
    row = flow_rows(1, interface=4)
    assert late.mask(view_in(row)).tolist() == [False]
    assert surroundings.interface(9, "new") == 4
    assert late.mask(view_in(row)).tolist() == [True]


def test_rows_that_got_another_meaning_are_asked_anew() -> None:
    surroundings = Surroundings(EndpointTable())
    surroundings.interfaces = Interned(Interface(0, ""), rows_max=1)
    surroundings.interface(1, "old")
    found = compiled(surroundings, interface=[Link(name="old")])
    row = flow_rows(1, interface=1)
    assert found.mask(view_in(row)).tolist() == [True]
    surroundings.at(1)
    assert surroundings.interfaces.row(Interface(2, "new"), 2, oldest_ns=1) == 1
    assert found.mask(view_in(row)).tolist() == [False]
