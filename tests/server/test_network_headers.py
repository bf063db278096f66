from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.flow_message import fields_of, set_network
from palomar_server.network_headers import plain_network
from palomar_server.table import Flag
from palomar_server.testing import Core, flow_rows

from .random_rows import alike_rows, surroundings

if TYPE_CHECKING:
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows

SURROUNDINGS = surroundings()
NAMELESS = Core().surroundings


def built(row: Any, core_surroundings: Surroundings = SURROUNDINGS) -> flow_pb2.Flow:
    """What protobuf makes of a row."""
    flow = flow_pb2.Flow()
    set_network(flow, fields_of(row), core_surroundings)
    return flow


@given(alike_rows())
def test_plain_headers_are_those_that_protobuf_makes(rows: Rows) -> None:
    for row in rows:
        written = plain_network(fields_of(row), SURROUNDINGS)
        if written is not None:
            assert flow_pb2.Flow.FromString(written) == built(row)


@given(st.binary(min_size=6, max_size=6), st.sampled_from(["192.0.2.1", "2001:db8::1", "::"]))
def test_packets_between_nameless_addresses_are_plain(mac: bytes, address: str) -> None:
    rows = flow_rows(source_mac=list(mac))
    rows["source_hi"], rows["source_lo"] = parse_address(address)
    rows["flags"] |= np.uint8(Flag.ETHERNET | Flag.ENCRYPTED | Flag.XLATED)
    written = plain_network(fields_of(rows[0]), NAMELESS)
    assert written is not None
    assert flow_pb2.Flow.FromString(written) == built(rows[0], NAMELESS)


def test_tunnels_sockets_and_names_are_left_to_protobuf() -> None:
    (tunnel,) = flow_rows(tunnel_protocol=1)
    assert plain_network(fields_of(tunnel), SURROUNDINGS) is None
    (call,) = flow_rows(event_type=MessageType.TRACE_SOCK)
    assert plain_network(fields_of(call), SURROUNDINGS) is None
    named = Core().surroundings
    address = parse_address("192.0.2.1")
    named.names.put_dns(0, address, ("api.example.com",))
    rows = flow_rows(2, source_hi=address[0], source_lo=[address[1], address[1] + 1])
    assert plain_network(fields_of(rows[0]), named) is None
    assert plain_network(fields_of(rows[1]), named) == built(rows[1], named).SerializeToString()
