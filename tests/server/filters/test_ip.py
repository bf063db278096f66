from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.table import Flag
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import content, refusal, selected

TEXTS = ("10.0.0.1", "10.255.0.1", "192.0.2.1", "::", "::1", "fd00::1", "2001:db8::1")
ADDRESSES = [parse_address(text) for text in TEXTS]
HI, LO = [hi for hi, _ in ADDRESSES], [lo for _, lo in ADDRESSES]


def sources(*values: str) -> list[str]:
    rows = flow_rows(len(TEXTS), source_hi=HI, source_lo=LO)
    return [TEXTS[index] for index in selected(rows, source_ip=values)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["10.0.0.1"], ["10.0.0.1"]),
        (["10.0.0.1", "fd00::1"], ["10.0.0.1", "fd00::1"]),
        ([f"10.0.0.{last}" for last in range(100)], ["10.0.0.1"]),
        (["10.9.9.9/8"], ["10.0.0.1", "10.255.0.1"]),
        ([f"10.{one}.0.0/16" for one in range(100)], ["10.0.0.1"]),
        (["0.0.0.0/0"], ["10.0.0.1", "10.255.0.1", "192.0.2.1"]),
        (["::/0"], ["::", "::1", "fd00::1", "2001:db8::1"]),
        (["::/127"], ["::", "::1"]),
        (["10.0.0.1/32"], ["10.0.0.1"]),
        (["::ffff:0:0/96"], []),
        (["198.51.100.1"], []),
    ],
)
def test_addresses_and_prefixes_match_in_their_family(
    values: list[str], expected: list[str]
) -> None:
    assert sources(*values) == expected


@pytest.mark.parametrize("value", ["::ffff:10.0.0.1", "FD00:0::0001", "FD00::1", "0::1"])
def test_an_address_written_otherwise_than_flows_show_it_matches_nothing(value: str) -> None:
    assert sources(value) == []


def test_the_destination_has_its_own_field() -> None:
    rows = flow_rows(len(TEXTS), destination_hi=HI, destination_lo=LO)
    assert selected(rows, destination_ip=["10.0.0.1"]) == [0]


def test_a_translated_source_has_its_own_field() -> None:
    rows = flow_rows(2, source_xlated_hi=HI[0], source_xlated_lo=LO[0])
    rows["flags"][1] |= Flag.XLATED
    assert selected(rows, source_ip_xlated=["10.0.0.1"]) == [1]
    assert selected(rows, source_ip_xlated=["10.0.0.0/8", "::/0"]) == [1]


def test_packets_without_ip_header_match_no_address() -> None:
    rows = flow_rows(1, ip_version=0, flags=Flag.PACKET)
    for value in ("::", "::/0", "0.0.0.0/0"):
        assert selected(rows, source_ip=[value]) == []


def test_an_unknown_pod_of_a_socket_event_has_no_address() -> None:
    forward, reverse = (
        flow_pb2.SOCK_XLATE_POINT_PRE_DIRECTION_FWD,
        flow_pb2.SOCK_XLATE_POINT_PRE_DIRECTION_REV,
    )
    rows = flow_rows(3, event_type=MessageType.TRACE_SOCK, event_subtype=[forward, reverse, 0])
    rows["event_type"][2] = MessageType.TRACE
    assert selected(rows, source_ip=["::"]) == [1, 2]
    assert selected(rows, destination_ip=["::/0"]) == [0, 2]


def test_messages_have_addresses_as_they_were_logged() -> None:
    message = content(IP={"source": "::ffff:10.0.0.1"})
    rows = flow_rows(1, source_hi=HI[0], source_lo=LO[0], message=1)
    assert selected(rows, messages=[message], source_ip=["::ffff:10.0.0.1"]) == [0]
    assert selected(rows, messages=[message], source_ip=["10.0.0.1"]) == []


def test_what_is_no_address_is_refused_with_place_value_and_rule() -> None:
    assert refusal(source_ip=["10.0.0.1", "x"]) == "whitelist[0].source_ip: 'x' is no IP address"


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 128))
def test_prefixes_match_as_the_standard_library_does(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    base: ipaddress.IPv4Address | ipaddress.IPv6Address,
    length: int,
) -> None:
    network = ipaddress.ip_network((base, min(length, base.max_prefixlen)), strict=False)
    hi, lo = parse_address(str(address))
    # What lies in ::ffff:0:0/96 is shown as IPv4.
    shown = getattr(address, "ipv4_mapped", None) or address
    rows = flow_rows(1, source_hi=np.uint64(hi), source_lo=np.uint64(lo))
    assert selected(rows, source_ip=[str(network)]) == ([0] if shown in network else [])
