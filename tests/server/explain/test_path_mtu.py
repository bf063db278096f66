from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from palomar_server.address import parse_address
from palomar_server.explain.connection import Connection
from palomar_server.explain.path_mtu import headline, network_bytes, path_mtu_of, told_too_big
from palomar_server.explain.window import Window
from palomar_server.table import Protocol
from palomar_server.testing import ACK, packet, trace_payload, transport
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

if TYPE_CHECKING:
    from palomar_proto.palomar.v1.explanation_pb2 import PathMtu

CONNECTION = Connection(
    parse_address(CLIENT), parse_address(SERVER), Protocol.TCP, CLIENT_PORT, PORT
)
DATA = trace_payload(content(ACK, payload=bytes(1400)))


def told(bench: Bench, connection: Connection = CONNECTION) -> tuple[PathMtu, bool] | None:
    return path_mtu_of(connection, Window(bench.core.ring), 100)


def test_nothing_is_told_without_a_message() -> None:
    assert told(Bench().see(DATA, trace_payload(icmp_error(11, 0)))) is None


def test_last_message_about_the_connection_counts() -> None:
    bench = Bench().see(*map(trace_payload, (too_big(1400), too_big(1300), too_big(9, port=7))))
    found = told(bench)
    assert found is not None
    assert (found[0].mtu, found[0].messages, found[1]) == (1300, 3, True)


def test_message_about_another_connection_of_the_two_counts_where_there_is_no_own() -> None:
    found = told(Bench().see(trace_payload(too_big(1350, port=7))))
    assert found is not None
    assert (found[0].mtu, found[1]) == (1350, False)
    assert "of other connections" in headline(*found[:1], exact=False)


def test_the_other_end_is_told_the_same() -> None:
    bench = Bench().see(DATA, trace_payload(too_big()), DATA, DATA)
    assert told(bench, CONNECTION.turned()) == told(bench)


def test_only_packets_since_and_over_the_size_are_still_larger() -> None:
    small = trace_payload(content(ACK, payload=bytes(1360)))
    found = told(Bench().see(DATA, trace_payload(too_big(1400)), small, DATA))
    assert found is not None
    assert (found[0].larger_since, found[0].largest_since) == (1, 1440)


def test_router_that_tells_no_size_is_named_all_the_same() -> None:
    found = told(Bench().see(trace_payload(too_big(0)), DATA))
    assert found is not None
    assert found[0].larger_since == 0
    assert headline(found[0], exact=True) == (
        f"Path MTU: {ROUTER} told {CLIENT} that packets of this connection to {SERVER} are too "
        "big, without saying what fits."
    )


def test_packet_too_big_of_ipv6_is_told_too() -> None:
    ends = ("2001:db8::1", "2001:db8:f::9")
    quoted = packet(*ends, Protocol.TCP, transport(), ethernet=False)
    body = struct.pack(">BBHI", 2, 0, 0, 1280) + quoted
    bench = Bench().see(trace_payload(packet("2001:db8::fe", ends[0], Protocol.ICMPV6, body)))
    assert told_too_big(bench.core.rows()).all()
    connection = Connection(
        parse_address(ends[0]), parse_address(ends[1]), Protocol.TCP, 40_000, 80
    )
    found = told(bench, connection)
    assert found is not None
    assert (found[0].mtu, found[0].router) == (1280, "2001:db8::fe")


def test_length_is_without_the_frame() -> None:
    assert network_bytes(Bench().see(DATA).core.rows()).tolist() == [1440]
