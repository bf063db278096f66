from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.capture_rule import CaptureRule, PacketPoint
from palomar_bpf.rule_tables import PLAN_BYTES, SET_BYTES, RuleTables, make_tables, pack_set

NETWORK = struct.Struct("=IBB2x16s")
SOURCE, DESTINATION = 0, 1


def key(side: int, network: str) -> bytes:
    parsed = ip_network(network)
    address = parsed.network_address.packed
    return NETWORK.pack(32 + parsed.prefixlen, side, parsed.version, address)


def test_an_empty_rule_asks_for_nothing() -> None:
    tables = make_tables([(3, CaptureRule())])
    assert tables == RuleTables((8, 8, 8), (8, 8), (8, 8, 8, 8), {}, {})


def test_a_number_has_the_rules_that_ask_for_it() -> None:
    tables = make_tables(
        [
            (0, CaptureRule(destination_ports=(80, 443))),
            (255, CaptureRule(destination_ports=(80,), protocols=(6,), ifindexes=(7,))),
        ]
    )
    assert tables.numbers == {
        struct.pack("=II", 1, 80): 1 | 1 << 255,
        struct.pack("=II", 1, 443): 1,
        struct.pack("=II", 2, 6): 1 << 255,
        struct.pack("=II", 3, 7): 1 << 255,
    }
    assert tables.any_number == (1 | 1 << 255, 0, 1, 1)


def test_a_network_has_the_rules_of_those_around_it() -> None:
    tables = make_tables(
        [
            (0, CaptureRule(sources=(IPv4Network("10.0.0.0/8"), IPv6Network("::/0")))),
            (1, CaptureRule(sources=(IPv4Network("10.1.0.0/16"),))),
            (2, CaptureRule(sources=(IPv4Network("10.1.2.3/32"),))),
            (3, CaptureRule(sources=(IPv4Network("10.2.0.0/16"), IPv6Network("fd00::1/128")))),
            (4, CaptureRule(destinations=(IPv4Network("10.1.2.3/32"),))),
        ]
    )
    assert tables.networks == {
        key(SOURCE, "10.0.0.0/8"): 0b1,
        key(SOURCE, "10.1.0.0/16"): 0b11,
        key(SOURCE, "10.1.2.3/32"): 0b111,
        key(SOURCE, "10.2.0.0/16"): 0b1001,
        key(SOURCE, "::/0"): 0b1,
        key(SOURCE, "fd00::1/128"): 0b1001,
        key(DESTINATION, "10.1.2.3/32"): 0b10000,
    }
    assert tables.any_network == (0b10000, 0b1111)


def test_a_rule_with_two_contents_takes_what_either_takes() -> None:
    tables = make_tables(
        [
            (0, CaptureRule(protocols=(6,), points=frozenset({PacketPoint.DROP}))),
            (0, CaptureRule(points=frozenset({PacketPoint.INGRESS}))),
        ]
    )
    assert tables.points == (1, 0, 1)
    assert tables.any_number == (1, 1, 1, 1)
    assert tables.numbers == {struct.pack("=II", 2, 6): 1}


def test_a_plan_is_as_long_as_the_programs_struct() -> None:
    plan = make_tables([(64, CaptureRule())]).plan(1 << 64, 1500)
    assert len(plan) == PLAN_BYTES
    assert plan[:SET_BYTES] == pack_set(1 << 64) == struct.pack("=QQQQ", 0, 1, 0, 0)
    assert plan[-8:] == struct.pack("=Q", 1500)


networks = st.builds(
    lambda address, length: IPv4Network((address & ~0 << (32 - length) & 0xFFFF_FFFF, length)),
    # Few different addresses, so that networks lie within each other.
    st.sampled_from([0x0A000000, 0x0A010203, 0x0A0102FF, 0x0A018000, 0xC0000201]),
    st.integers(0, 32),
)


@given(
    st.lists(st.lists(networks, min_size=1, max_size=4), max_size=6),
    st.sampled_from(["10.0.0.0", "10.1.2.3", "10.1.2.255", "10.1.128.0", "192.0.2.1", "8.8.8.8"]),
)
def test_the_narrowest_network_has_every_rule_for_an_address(
    sources: list[list[IPv4Network]], text: str
) -> None:
    rules = [(number, CaptureRule(sources=tuple(wanted))) for number, wanted in enumerate(sources)]
    tables = make_tables(rules).networks
    address = IPv4Address(text)
    found = 0
    for length in range(32, -1, -1):
        at = key(SOURCE, str(IPv4Network((address, length), strict=False)))
        if at in tables:
            found = tables[at]
            break
    assert found == sum(
        1 << number
        for number, wanted in enumerate(sources)
        if any(address in network for network in wanted)
    )
