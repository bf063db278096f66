from __future__ import annotations

from palomar_server.filters.address_names import AddressNamePredicate
from palomar_server.names import Names
from palomar_server.table import Flag
from palomar_server.testing import flow_rows, view_of


def test_addresses_are_asked_once_with_their_number_until_a_name_changes() -> None:
    names, asked = Names(), []

    def condition(hi: int, lo: int, number: int) -> bool:
        asked.append((hi, lo, number))
        return number == 80

    predicate = AddressNamePredicate(
        "source", names, lambda view: view.column("source_port"), condition
    )
    rows = flow_rows(3, source_hi=(1 << 64) - 1, source_lo=5, source_port=[80, 81, 80])
    for _ in range(2):
        assert predicate(view_of(rows)).tolist() == [True, False, True]
    assert sorted(asked) == [((1 << 64) - 1, 5, 80), ((1 << 64) - 1, 5, 81)]
    names.put_dns(0, (0, 5), ("a",))
    predicate(view_of(rows))
    assert len(asked) == 4


def test_without_an_ip_header_there_are_no_names() -> None:
    predicate = AddressNamePredicate(
        "source", Names(), lambda view: view.column("source_port"), lambda *_: True
    )
    assert predicate(view_of(flow_rows(2, flags=[Flag.IP, 0]))).tolist() == [True, False]
