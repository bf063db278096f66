from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.address import format_address, parse_address, parse_prefix, prefix_masks

ADDRESSES = st.ip_addresses()


@given(ADDRESSES)
def test_text_comes_back_from_the_two_numbers(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    hi, lo = parse_address(str(address))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    assert ipaddress.ip_address(format_address(hi, lo)) == (mapped or address)


def test_ipv4_stands_in_the_mapped_block() -> None:
    assert parse_address("192.0.2.1") == parse_address("::ffff:192.0.2.1") == (0, 0xFFFF_C000_0201)


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",  # noqa: S104 - an address like others here
        "0.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::192.0.2.1",
        "2001:db8::1:0:0:1",
        "2001:db8:0:1:1:1:1:1",
        "64:ff9b::c000:201",
    ],
)
def test_addresses_are_written_as_go_and_rfc_5952_do(text: str) -> None:
    dotted = {"::192.0.2.1": "::c000:201"}
    assert format_address(*parse_address(text)) == dotted.get(text, text)


def test_a_mapped_address_is_written_as_ipv4() -> None:
    assert format_address(*parse_address("::ffff:192.0.2.1")) == "192.0.2.1"


@pytest.mark.parametrize("text", ["", "example.org", "192.0.2", "192.0.2.256", "1::2::3"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear"):
        parse_address(text)


def test_host_bits_of_a_prefix_are_cleared() -> None:
    assert parse_prefix("10.1.2.3/8") == (parse_address("10.0.0.0"), 96 + 8)
    assert parse_prefix("2001:db8::1/32") == (parse_address("2001:db8::"), 32)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/33",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/0.255.255.255",
        "10.0.0.0/-1",
        "10.0.0.0/",
        "10.0.0.0",
        "::/129",
        "fe80::1%eth0/64",
        "/8",
        "10.0.0.0/8/8",
    ],
)
def test_what_is_no_prefix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear|is no CIDR prefix|is not permitted"):
        parse_prefix(text)


@given(ADDRESSES, ADDRESSES, st.integers(0, 128))
def test_masked_halves_are_equal_where_the_prefix_contains_the_address(
    inside: ipaddress.IPv4Address | ipaddress.IPv6Address,
    base: ipaddress.IPv4Address | ipaddress.IPv6Address,
    length: int,
) -> None:
    network = ipaddress.ip_network((base, min(length, base.max_prefixlen)), strict=False)
    (hi, lo), bits = parse_prefix(str(network))
    mask_hi, mask_lo = prefix_masks(bits)
    address_hi, address_lo = parse_address(str(inside))
    matches = (address_hi & mask_hi, address_lo & mask_lo) == (hi, lo)
    if inside.version == base.version:
        assert matches == (inside in network)
