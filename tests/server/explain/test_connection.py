from __future__ import annotations

import numpy as np
import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.errors import InvalidRequest
from palomar_server.explain.connection import (
    Connection,
    connection_of_flow,
    connection_of_row,
)
from palomar_server.table import Flag, Protocol
from palomar_server.testing import ACK, flow_rows, trace_payload
from tests.server.explain.builders import (
    CLIENT,
    CLIENT_PORT,
    PORT,
    ROUTER,
    SERVER,
    Bench,
    content,
    icmp_error,
    too_big,
)

CONNECTION = Connection(
    parse_address(CLIENT), parse_address(SERVER), Protocol.TCP, CLIENT_PORT, PORT
)
SEEN = (
    content(),
    content(ACK, back=True),
    content(port=CLIENT_PORT + 1),
    content(protocol=Protocol.UDP),
    too_big(),
    too_big(port=CLIENT_PORT + 1),
    icmp_error(11, 0),
)
ROWS = Bench().see(*map(trace_payload, SEEN)).core.rows()


def test_packets_are_told_by_addresses_ports_and_protocol() -> None:
    assert CONNECTION.forward(ROWS).nonzero()[0].tolist() == [0]
    assert CONNECTION.reverse(ROWS).nonzero()[0].tolist() == [1]
    assert CONNECTION.turned().forward(ROWS).nonzero()[0].tolist() == [1]
    assert CONNECTION.between(ROWS).nonzero()[0].tolist() == [0, 1, 2, 3]


def test_icmp_errors_are_told_by_what_they_quote() -> None:
    assert CONNECTION.quoted(ROWS).nonzero()[0].tolist() == [4, 6]
    assert CONNECTION.turned().quoted(ROWS).nonzero()[0].tolist() == [4, 6]
    assert CONNECTION.quoted(ROWS, any_ports=True).nonzero()[0].tolist() == [4, 5, 6]


def test_rows_know_their_connection_and_errors_that_of_their_quote() -> None:
    assert connection_of_row(ROWS[:1]) == CONNECTION
    assert connection_of_row(ROWS[4:5]) == CONNECTION
    assert connection_of_row(flow_rows(flags=0)) is None


def test_icmp_errors_are_no_packets_of_a_ping_between_the_same_two() -> None:
    ping = Connection(parse_address(ROUTER), parse_address(CLIENT), Protocol.ICMP)
    assert not ping.forward(ROWS).any()


def test_source_before_translation_counts_and_so_does_the_one_in_the_packet() -> None:
    row = ROWS[:1].copy()
    row["flags"] |= np.uint8(Flag.XLATED)
    row["source_xlated_hi"], row["source_xlated_lo"] = row["source_hi"], row["source_lo"]
    row["source_hi"], row["source_lo"] = parse_address("10.0.0.1")
    assert CONNECTION.forward(row).all()


def test_flows_of_clients_know_their_connection() -> None:
    flow = flow_pb2.Flow(
        IP=flow_pb2.IP(source=CLIENT, destination=SERVER),
        l4=flow_pb2.Layer4(TCP=flow_pb2.TCP(source_port=CLIENT_PORT, destination_port=PORT)),
    )
    assert connection_of_flow(flow) == CONNECTION
    flow.l4.ICMPv4.type = 8
    found = connection_of_flow(flow)
    assert found is not None
    assert (found.protocol, found.source_port) == (Protocol.ICMP, 0)
    assert connection_of_flow(flow_pb2.Flow()) is None
    flow.IP.destination = "nowhere; rm -rf"
    with pytest.raises(InvalidRequest, match=r"flow\.IP\.destination: .* is no IP address"):
        connection_of_flow(flow)


def test_words_for_commands_are_addresses_ports_and_protocol() -> None:
    assert CONNECTION.words == {
        "source": CLIENT,
        "destination": SERVER,
        "source_port": str(CLIENT_PORT),
        "destination_port": str(PORT),
        "protocol": "tcp",
    }
