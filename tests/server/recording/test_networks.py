from __future__ import annotations

import ipaddress

import pytest

from palomar_proto.flow_filter.address import parse_addresses
from palomar_server.address import parse_address, parse_prefix
from palomar_server.recording.networks import network_of, networks_in

ipv4, ipv6 = ipaddress.IPv4Network, ipaddress.IPv6Network


@pytest.mark.parametrize("text", ["10.0.0.0/8", "10.0.0.1/32", "fd00::/8", "::/0", "0.0.0.0/0"])
def test_columns_become_the_network_that_they_stand_for(text: str) -> None:
    assert network_of(*parse_prefix(text)) == ipaddress.ip_network(text)


def test_an_address_is_a_network_of_one() -> None:
    assert network_of(parse_address("10.0.0.1"), 128) == ipv4("10.0.0.1/32")
    assert network_of(parse_address("fd00::1"), 128) == ipv6("fd00::1/128")


def test_addresses_that_flows_show_otherwise_match_nothing() -> None:
    values = ["10.0.0.1", "fd00::1", "FD00::2", "fd00:0::3", "::ffff:10.0.0.9", "fe80::1%eth0"]
    found = networks_in(parse_addresses("source_ip", values))
    assert set(found) == {ipv4("10.0.0.1/32"), ipv6("fd00::1/128")}


def test_prefixes_are_taken_in() -> None:
    values = ["10.1.2.3/8", "fd00::/16", "::/0", "::ffff:10.0.0.0/104"]
    found = networks_in(parse_addresses("source_ip", values))
    assert found == (ipv4("10.0.0.0/8"), ipv6("fd00::/16"), ipv6("::/0"))
