from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.endpoints import EndpointTable
from palomar_server.errors import InvalidRequest
from palomar_server.filters.ip import compile_destination_ip, compile_source_ip
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows

SURROUNDINGS = Surroundings(EndpointTable())
TEXTS = ("10.0.0.1", "10.255.0.1", "192.0.2.1", "::", "::1", "fd00::1", "2001:db8::1")
ADDRESSES = [parse_address(text) for text in TEXTS]
HI, LO = [hi for hi, _ in ADDRESSES], [lo for _, lo in ADDRESSES]
VERSIONS = [flow_pb2.IPv6 if ":" in text else flow_pb2.IPv4 for text in TEXTS]


def sources(*values: str) -> list[str]:
    rows = flow_rows(len(TEXTS), source_hi=HI, source_lo=LO, ip_version=VERSIONS)
    flow_filter = flow_pb2.FlowFilter(source_ip=values)
    mask = compile_source_ip(flow_filter, SURROUNDINGS)(rows)
    return [TEXTS[index] for index in np.flatnonzero(mask)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["10.0.0.1"], ["10.0.0.1"]),
        (["10.0.0.1", "fd00::1"], ["10.0.0.1", "fd00::1"]),
        (["10.9.9.9/8"], ["10.0.0.1", "10.255.0.1"]),
        (["0.0.0.0/0"], ["10.0.0.1", "10.255.0.1", "192.0.2.1"]),
        (["::/0"], ["::", "::1", "fd00::1", "2001:db8::1"]),
        (["::/127"], ["::", "::1"]),
        (["10.0.0.1/32"], ["10.0.0.1"]),
        (["::ffff:10.0.0.1"], []),
        (["FD00:0::0001"], ["fd00::1"]),
        (["198.51.100.1"], []),
    ],
)
def test_addresses_and_prefixes_match_in_their_family(
    values: list[str], expected: list[str]
) -> None:
    assert sources(*values) == expected


def test_the_destination_has_its_own_field() -> None:
    rows = flow_rows(len(TEXTS), destination_hi=HI, destination_lo=LO, ip_version=VERSIONS)
    flow_filter = flow_pb2.FlowFilter(destination_ip=["10.0.0.1"])
    assert compile_destination_ip(flow_filter, SURROUNDINGS)(rows).tolist() == [True] + [False] * 6


def test_packets_without_ip_header_match_no_address() -> None:
    rows = flow_rows(1, ip_version=0)
    for value in ("::", "::/0", "0.0.0.0/0"):
        flow_filter = flow_pb2.FlowFilter(source_ip=[value])
        assert not compile_source_ip(flow_filter, SURROUNDINGS)(rows).any()


@pytest.mark.parametrize("value", ["", "example.org", "10.0.0.0/33", "10.0.0/8", "fe80::1%lo/64"])
def test_what_is_no_address_is_refused_with_field_value_and_rule(value: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sources("10.0.0.1", value)
    assert str(caught.value) == f"source_ip: {value!r} is neither an IP address nor a CIDR prefix"


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 128))
def test_prefixes_match_as_the_standard_library_does(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    base: ipaddress.IPv4Address | ipaddress.IPv6Address,
    length: int,
) -> None:
    network = ipaddress.ip_network((base, min(length, base.max_prefixlen)), strict=False)
    hi, lo = parse_address(str(address))
    version = flow_pb2.IPv4 if address.version == 4 else flow_pb2.IPv6
    rows = flow_rows(1, source_hi=hi, source_lo=lo, ip_version=version)
    mask = compile_source_ip(flow_pb2.FlowFilter(source_ip=[str(network)]), SURROUNDINGS)(rows)
    assert mask.tolist() == [address in network]
