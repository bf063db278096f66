"""Names of protocols."""

from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.protocol import L4_PROTOCOLS, L7_PROTOCOLS, parse_protocols


def test_names_stand_for_members_of_the_flow() -> None:
    assert parse_protocols("protocol", ["Tcp", "ICMP", "Kafka"]) == {
        "TCP",
        "ICMPv4",
        "ICMPv6",
        "kafka",
    }


def test_all_members_have_a_name() -> None:
    l4 = flow_pb2.Layer4.DESCRIPTOR.oneofs_by_name["protocol"].fields
    l7 = flow_pb2.Layer7.DESCRIPTOR.oneofs_by_name["record"].fields
    assert parse_protocols("protocol", [*L4_PROTOCOLS, *L7_PROTOCOLS]) == {
        field.name for field in (*l4, *l7)
    }


@pytest.mark.parametrize("value", ["", "arp", "http2", " tcp", "6", "quic"])
def test_other_names_are_refused(value: str) -> None:
    with pytest.raises(FilterError, match="is no protocol; there are icmp, "):
        parse_protocols("protocol", ["tcp", value])
