from __future__ import annotations

from palomar_server.table import Flag
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import selected

ROWS = flow_rows(3, flags=[Flag.IP, Flag.IP | Flag.ENCRYPTED, 0], ip_version=[1, 1, 0])


def test_packets_are_encrypted_or_not_and_without_ip_they_are_not() -> None:
    assert selected(ROWS, encrypted=[True]) == [1]
    assert selected(ROWS, encrypted=[False]) == [0, 2]
    assert selected(ROWS, encrypted=[True, False]) == [0, 1, 2]
