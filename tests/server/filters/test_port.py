from __future__ import annotations

import pytest

from palomar_server.table import Flag, Protocol
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import refusal, selected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["80"], [1]),
        (["0"], [0]),
        (["65535", "80"], [1, 2]),
        (["00080"], [1]),
        (["1", "2", "3", "4", "80"], [1]),
    ],
)
def test_ports_match_by_number(values: list[str], expected: list[int]) -> None:
    rows = flow_rows(3, source_port=[0, 80, 65_535], destination_port=[0, 80, 65_535])
    assert selected(rows, source_port=values) == expected
    assert selected(rows, destination_port=values) == expected


def test_only_protocols_with_ports_have_ports() -> None:
    rows = flow_rows(len(Protocol), protocol=list(Protocol))
    found = {Protocol(number) for number in rows["protocol"][selected(rows, source_port=["0"])]}
    assert found == {Protocol.TCP, Protocol.UDP, Protocol.SCTP}


def test_a_packet_without_transport_header_has_no_port() -> None:
    assert selected(flow_rows(1, flags=Flag.IP), source_port=["0"]) == []


def test_what_is_no_port_is_refused_with_place_value_and_rule() -> None:
    text = "whitelist[0].destination_port: 'http' is no port number from 0 to 65535"
    assert refusal(destination_port=["80", "http"]) == text
