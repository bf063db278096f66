"""Addresses and CIDR prefixes of filters."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_proto.flow_filter.address import (
    Prefix,
    address_number,
    parse_addresses,
    read_prefix,
)
from palomar_proto.flow_filter.error import FilterError


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            "host",
            "10.0.0",
            "10.0.0.256",
            "010.0.0.1",
            "10.0.0.1 ",
            "1.2.3.4%eth0",
            "12345",
        ),
        *("fe80::1%", "::1::", "12345::", "1:2:3:4:5:6:7:8:9", "::ffff:010.0.0.1", "x" * 10_000),
    ],
)
def test_what_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(FilterError, match="source_ip"):
        parse_addresses("source_ip", [value])


@pytest.mark.parametrize(
    "value",
    [
        *("/24", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "::/129"),
        *("10.0.0/8", "10.0.0.0/8/8", "fe80::1%eth0/64", "10.0.0.0/255.0.0.0", "10.0.0.0/ 8", "/"),
    ],
)
def test_what_is_no_prefix_is_refused(value: str) -> None:
    with pytest.raises(FilterError, match="is no CIDR prefix"):
        parse_addresses("source_ip", [value])


def test_an_address_is_compared_as_text() -> None:
    wanted = parse_addresses("source_ip", ["FD00::A", "fd00:0::b", "fe80::1%eth0", "10.0.0.1"])
    assert [wanted.matches(text) for text in ("fd00::a", "fd00::b", "FD00::A", "fe80::1%eth0")] == [
        False,
        False,
        True,
        True,
    ]


def test_a_prefix_is_compared_as_a_number_in_its_version() -> None:
    wanted = parse_addresses("source_ip", ["10.0.0.77/24"])
    assert wanted.matches("10.0.0.1")
    assert not wanted.matches("10.0.1.1")
    assert not wanted.matches("::ffff:10.0.0.1")
    mapped = parse_addresses("source_ip", ["::ffff:0:0/96"])
    assert mapped.matches("::ffff:10.0.0.1")
    assert not mapped.matches("10.0.0.1")


def test_a_flow_without_an_address_never_matches() -> None:
    assert not parse_addresses("source_ip", ["0.0.0.0/0", "::/0"]).matches("")


@pytest.mark.parametrize("text", ["", "x", "fe80::1%eth0", "1.2.3"])
def test_what_is_in_no_prefix_has_no_number(text: str) -> None:
    assert address_number(text) is None


@given(st.ip_addresses(), st.integers(0, 128), st.ip_addresses())
def test_prefixes_hold_what_the_networks_of_the_standard_library_do(
    base: ipaddress.IPv4Address | ipaddress.IPv6Address,
    length: int,
    other: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    length = min(length, base.max_prefixlen)
    network = ipaddress.ip_network(f"{base}/{length}", strict=False)
    prefix = read_prefix(f"{base}/{length}")
    assert prefix == Prefix(network.version, length, int(network.network_address))
    assert prefix.holds(other.version, int(other)) == (other in network)
    assert prefix.holds(base.version, int(base))
