from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.flow_summary import TCP_FLAGS, icmp_summary, igmp_summary, tcp_summary
from palomar_server.table import Protocol


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (0x002, "TCP Flags: SYN"),
        (0x012, "TCP Flags: SYN, ACK"),
        (0x018, "TCP Flags: ACK, PSH"),
        (0x1FF, "TCP Flags: SYN, ACK, RST, FIN, PSH, URG, ECE, CWR, NS"),
        (0, "TCP Flags: "),
    ],
)
def test_tcp_flags_are_listed_in_hubbles_order(flags: int, text: str) -> None:
    assert tcp_summary(flags) == text


@given(st.integers(0, 0x1FF))
def test_every_flag_that_is_set_is_named(flags: int) -> None:
    named = tcp_summary(flags).removeprefix("TCP Flags: ").split(", ")
    assert sum(bit for name, bit in TCP_FLAGS if name in named) == flags


@pytest.mark.parametrize(
    ("protocol", "icmp_type", "code", "text"),
    [
        (Protocol.ICMP, 8, 0, "ICMPv4 EchoRequest"),
        (Protocol.ICMP, 3, 3, "ICMPv4 DestinationUnreachable(Port)"),
        (Protocol.ICMP, 11, 0, "ICMPv4 TimeExceeded(TTLExceeded)"),
        (Protocol.ICMP, 3, 99, "ICMPv4 DestinationUnreachable(Code: 99)"),
        (Protocol.ICMP, 8, 7, "ICMPv4 EchoRequest(Code: 7)"),
        (Protocol.ICMP, 200, 7, "ICMPv4 200(7)"),
        (Protocol.ICMPV6, 128, 0, "ICMPv6 EchoRequest"),
        (Protocol.ICMPV6, 1, 4, "ICMPv6 DestinationUnreachable(PortUnreachable)"),
        (Protocol.ICMPV6, 135, 0, "ICMPv6 NeighborSolicitation"),
        (Protocol.ICMPV6, 8, 0, "ICMPv6 8(0)"),
    ],
)
def test_icmp_types_and_codes_are_named(
    protocol: int, icmp_type: int, code: int, text: str
) -> None:
    assert icmp_summary(protocol, icmp_type, code) == text


@pytest.mark.parametrize(
    ("igmp_type", "text"), [(0x16, "IGMP IGMPv2 Membership Report"), (0x13, "IGMP ")]
)
def test_igmp_messages_are_named(igmp_type: int, text: str) -> None:
    assert igmp_summary(igmp_type) == text


def test_mtu_that_a_message_tells_is_appended_and_none_is_not() -> None:
    assert icmp_summary(Protocol.ICMP, 3, 4, 1400) == (
        "ICMPv4 DestinationUnreachable(FragmentationNeeded), MTU 1400"
    )
    assert icmp_summary(Protocol.ICMPV6, 2, 0, 1280) == "ICMPv6 PacketTooBig, MTU 1280"
    assert icmp_summary(Protocol.ICMPV6, 2, 0, 0) == "ICMPv6 PacketTooBig"
