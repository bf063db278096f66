from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import EndpointTable
from palomar_server.errors import InvalidRequest, Unsupported
from palomar_server.filters.protocol import compile_protocol
from palomar_server.surroundings import Surroundings
from palomar_server.table import Flag, Protocol
from palomar_server.testing import flow_rows

SURROUNDINGS = Surroundings(EndpointTable())


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
    mask = compile_protocol(flow_pb2.FlowFilter(protocol=values), SURROUNDINGS)(rows)
    assert {Protocol(number) for number in rows["protocol"][mask]} == expected


def test_a_packet_without_transport_header_matches_no_protocol() -> None:
    rows = flow_rows(1, flags=Flag.IP, protocol=Protocol.TCP)
    mask = compile_protocol(flow_pb2.FlowFilter(protocol=["tcp"]), SURROUNDINGS)(rows)
    assert not mask.any()


@pytest.mark.parametrize("value", ["", "6", "tcp ", "ipv4"])
def test_an_unknown_name_is_refused_with_those_that_are_known(value: str) -> None:
    with pytest.raises(InvalidRequest, match=f"protocol: {value!r} is none of icmp, icmpv4"):
        compile_protocol(flow_pb2.FlowFilter(protocol=["tcp", value]), SURROUNDINGS)


@pytest.mark.parametrize("value", ["DNS", "http", "kafka"])
def test_protocols_of_layer_7_are_refused_as_such(value: str) -> None:
    with pytest.raises(Unsupported, match=f"does not filter by {value.lower()}"):
        compile_protocol(flow_pb2.FlowFilter(protocol=[value]), SURROUNDINGS)
