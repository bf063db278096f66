from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.table import Flag, Protocol
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import refusal, selected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["tcp"], {Protocol.TCP}),
        (["UDP"], {Protocol.UDP}),
        (["icmp"], {Protocol.ICMP, Protocol.ICMPV6}),
        (["ICMPv4"], {Protocol.ICMP}),
        (["icmpv6", "Sctp"], {Protocol.ICMPV6, Protocol.SCTP}),
        (["vrrp", "igmp"], {Protocol.VRRP, Protocol.IGMP}),
    ],
)
def test_names_match_in_any_case(values: list[str], expected: set[Protocol]) -> None:
    rows = flow_rows(len(Protocol), protocol=list(Protocol))
    found = selected(rows, protocol=values)
    assert {Protocol(number) for number in rows["protocol"][found]} == expected


def test_a_packet_without_transport_header_has_no_protocol() -> None:
    assert selected(flow_rows(1, flags=Flag.IP), protocol=["tcp"]) == []


def test_application_protocols_are_found_in_messages_beside_transport_protocols() -> None:
    flow = flow_pb2.Flow()
    flow.l7.dns.query = "example.com."
    rows = flow_rows(3, message=[0, 1, 0], protocol=[Protocol.TCP, Protocol.UDP, Protocol.UDP])
    messages = [flow.SerializeToString()]
    assert selected(rows, messages=messages, protocol=["dns"]) == [1]
    assert selected(rows, messages=messages, protocol=["dns", "tcp"]) == [0, 1]
    assert selected(rows, messages=messages, protocol=["http"]) == []


def test_what_is_no_protocol_is_refused() -> None:
    assert refusal(protocol=["quic"]).startswith("whitelist[0].protocol: 'quic' is no protocol")
