from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.address import parse_address
from palomar_server.table import ICMP_QUOTE, Flag, Protocol
from palomar_server.testing import START_NS, packet, trace_payload, transport
from tests.server.decode.builders import V4, V6, decode, of_ours, of_packet, one, tunnelled, vxlan

SENDER, FAR = "192.0.2.1", "203.0.113.9"
SENDER6, FAR6 = "2001:db8::1", "2001:db8:f::9"
ROUTER, ROUTER6 = "198.51.100.254", "2001:db8:a::fe"
V4_ERRORS = [(3, 0), (3, 4), (4, 0), (5, 1), (11, 0), (12, 0)]
V6_ERRORS = [(1, 4), (2, 0), (3, 0), (4, 1)]


def error(icmp_type: int, code: int, quoted: bytes, mtu: int = 0, *, v6: bool = False) -> bytes:
    """An ICMP error of a router, about a packet of the sender."""
    body = struct.pack(">BBHI", icmp_type, code, 0, mtu) + quoted
    if v6:
        return packet(ROUTER6, SENDER6, Protocol.ICMPV6, body)
    return packet(ROUTER, SENDER, Protocol.ICMP, body)


def quoted(protocol: int = Protocol.TCP, *, v6: bool = False, bytes_max: int = 60) -> bytes:
    ends = (SENDER6, FAR6) if v6 else (SENDER, FAR)
    whole = packet(*ends, protocol, transport(protocol, 40_000, 443), ethernet=False)
    return whole[:bytes_max]


def quote_of(row: Any) -> dict[str, Any]:
    values = row.reshape(1).view(ICMP_QUOTE)[0]
    return {name: values[name].item() for name in ICMP_QUOTE.names or () if "quoted" in name}


def expected(far: str, protocol: int, source_port: int = 0, port: int = 0) -> dict[str, Any]:
    hi, lo = parse_address(far)
    return {
        "quoted_destination_hi": hi,
        "quoted_destination_lo": lo,
        "quoted_source_port": source_port,
        "quoted_destination_port": port,
        "quoted_protocol": protocol,
    }


NOTHING = expected("::", 0)


def test_fragmentation_needed_carries_its_mtu() -> None:
    row = of_packet(error(3, 4, quoted(), 1400))
    assert row["icmp_mtu"] == 1400
    assert quote_of(row) == expected(FAR, Protocol.TCP, 40_000, 443)


def test_packet_too_big_carries_its_mtu_of_32_bits() -> None:
    row = of_packet(error(2, 0, quoted(v6=True), 70_000, v6=True))
    assert row["icmp_mtu"] == 70_000
    assert quote_of(row) == expected(FAR6, Protocol.TCP, 40_000, 443)


def test_upper_half_of_the_word_is_not_the_mtu_of_ipv4() -> None:
    assert of_packet(error(3, 4, quoted(), 7 << 16 | 1280))["icmp_mtu"] == 1280


@pytest.mark.parametrize(("icmp_type", "code"), [(3, 3), (3, 13), (11, 4), (12, 4), (8, 4)])
def test_other_messages_have_no_mtu(icmp_type: int, code: int) -> None:
    assert of_packet(error(icmp_type, code, quoted(), 1400))["icmp_mtu"] == 0


@pytest.mark.parametrize(("icmp_type", "code"), V4_ERRORS)
def test_icmpv4_errors_quote_a_packet(icmp_type: int, code: int) -> None:
    row = of_packet(error(icmp_type, code, quoted(Protocol.UDP)))
    assert quote_of(row) == expected(FAR, Protocol.UDP, 40_000, 443)


@pytest.mark.parametrize(("icmp_type", "code"), V6_ERRORS)
def test_icmpv6_errors_quote_a_packet(icmp_type: int, code: int) -> None:
    row = of_packet(error(icmp_type, code, quoted(Protocol.UDP, v6=True), v6=True))
    assert quote_of(row) == expected(FAR6, Protocol.UDP, 40_000, 443)


@pytest.mark.parametrize("icmp_type", [0, 8, 13, 9])
def test_messages_that_are_no_errors_quote_nothing(icmp_type: int) -> None:
    assert quote_of(of_packet(error(icmp_type, 0, quoted()))) == NOTHING


def test_ports_of_a_quoted_icmp_packet_are_none() -> None:
    assert quote_of(of_packet(error(3, 1, quoted(Protocol.ICMP)))) == expected(FAR, Protocol.ICMP)


def test_options_of_the_quoted_header_are_stepped_over() -> None:
    whole = bytearray(quoted())
    whole[0] = 0x46
    whole[20:20] = b"\1\1\1\1"
    assert quote_of(of_packet(error(11, 0, bytes(whole))))["quoted_destination_port"] == 443


def test_later_fragments_have_no_ports() -> None:
    whole = bytearray(quoted())
    whole[6:8] = b"\0\x10"
    assert quote_of(of_packet(error(11, 0, bytes(whole)))) == expected(FAR, Protocol.TCP)


@pytest.mark.parametrize("v6", [False, True])
@given(bytes_max=st.integers(0, 60))
def test_of_a_quote_that_is_cut_as_much_is_kept_as_is_there(*, v6: bool, bytes_max: int) -> None:
    icmp_type, code = (2, 0) if v6 else (3, 4)
    row = of_packet(error(icmp_type, code, quoted(v6=v6, bytes_max=bytes_max), 1400, v6=v6))
    header = 40 if v6 else 20
    ports = (40_000, 443) if bytes_max >= header + 4 else (0, 0)
    far = FAR6 if v6 else FAR
    whole = expected(far, Protocol.TCP, *ports) if bytes_max >= header else NOTHING
    assert quote_of(row) == whole
    assert row["icmp_mtu"] == 1400


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize(("mtu", "marked"), [(0, False), (1400, True)])
def test_mtu_is_for_the_summary_in_messages_of_our_own_programs(
    *, mtu: int, marked: bool, v6: bool
) -> None:
    icmp_type, code = (2, 0) if v6 else (3, 4)
    payload = trace_payload(error(icmp_type, code, quoted(v6=v6), mtu, v6=v6))
    for told, whose in ((False, payload), (marked, of_ours(payload, 32))):
        row = one(whose)
        assert row["icmp_mtu"] == mtu
        assert bool(row["flags"] & Flag.MTU) is told


def test_icmpv6_message_without_its_second_word_has_no_mtu() -> None:
    content = packet(ROUTER6, SENDER6, Protocol.ICMPV6, b"\2\0\0\0")
    # What follows in the buffer is another payload's.
    row = of_packet(content, packet(*V4))
    assert row["flags"] & Flag.L4
    assert (row["icmp_mtu"], quote_of(row)) == (0, NOTHING)


@given(
    st.lists(
        st.tuples(st.sampled_from([Protocol.ICMP, Protocol.ICMPV6]), st.binary(max_size=80)),
        min_size=1,
        max_size=5,
    )
)
def test_no_bytes_are_too_strange_and_batches_change_nothing(
    messages: list[tuple[int, bytes]],
) -> None:
    contents = [
        packet(*(V6 if protocol == Protocol.ICMPV6 else V4), protocol, body)
        for protocol, body in messages
    ]
    payloads = [of_ours(trace_payload(content), 32) for content in contents]
    together = decode(*payloads).rows
    assert len(together) == len(payloads)
    alone = [one(payload).tobytes() for payload in payloads]
    assert [row.tobytes() for row in together] == alone


def test_error_within_a_tunnel_keeps_both_tunnel_and_quote() -> None:
    content = tunnelled(vxlan(error(3, 4, quoted(), 1400)))
    row = one(trace_payload(content, flags=4))
    assert row["tunnel_protocol"] != 0
    assert quote_of(row) == expected(FAR, Protocol.TCP, 40_000, 443)
    assert row["time_ns"] == START_NS


def test_packets_of_other_protocols_beside_have_no_quote() -> None:
    rows = decode(*map(trace_payload, (packet(*V4), error(3, 4, quoted(), 1400)))).rows
    assert rows["icmp_mtu"].tolist() == [0, 1400]
    assert quote_of(rows[:1]) == NOTHING
