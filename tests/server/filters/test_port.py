from __future__ import annotations

import reprlib

import numpy as np
import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import EndpointTable
from palomar_server.errors import InvalidRequest
from palomar_server.filters.port import compile_destination_port, compile_source_port
from palomar_server.surroundings import Surroundings
from palomar_server.table import Flag, Protocol
from palomar_server.testing import flow_rows

SURROUNDINGS = Surroundings(EndpointTable())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["80"], [1]),
        (["0"], [0]),
        (["65535", "80"], [1, 2]),
        (["00080"], [1]),
        (["0" * 5000 + "80"], [1]),
    ],
)
def test_ports_match_by_number(values: list[str], expected: list[int]) -> None:
    rows = flow_rows(3, source_port=[0, 80, 65_535], destination_port=[0, 80, 65_535])
    flow_filter = flow_pb2.FlowFilter(source_port=values, destination_port=values)
    for compiled in (compile_source_port, compile_destination_port):
        assert np.flatnonzero(compiled(flow_filter, SURROUNDINGS)(rows)).tolist() == expected


def test_only_protocols_with_ports_have_ports() -> None:
    rows = flow_rows(len(Protocol), protocol=list(Protocol))
    mask = compile_source_port(flow_pb2.FlowFilter(source_port=["0"]), SURROUNDINGS)(rows)
    found = {Protocol(number) for number in rows["protocol"][mask]}
    assert found == {Protocol.TCP, Protocol.UDP, Protocol.SCTP}


def test_a_packet_without_transport_header_has_no_port() -> None:
    rows = flow_rows(1, flags=Flag.IP)
    mask = compile_source_port(flow_pb2.FlowFilter(source_port=["0"]), SURROUNDINGS)(rows)
    assert not mask.any()


@pytest.mark.parametrize(
    "value", ["", "http", "-1", "+80", "65536", "8 0", "8_0", "²", "٣", "9" * 5000]
)
def test_what_is_no_port_is_refused_with_field_value_and_rule(value: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        compile_destination_port(flow_pb2.FlowFilter(destination_port=[value]), SURROUNDINGS)
    shown = reprlib.repr(value)
    assert str(caught.value) == f"destination_port: {shown} is no port number from 0 to 65535"
