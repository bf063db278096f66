from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server import port_headers
from palomar_server.flow_message import fields_of
from palomar_server.flow_transport import set_header
from palomar_server.port_headers import PortHeaders
from palomar_server.table import Flag, Protocol
from palomar_server.testing import flow_rows

from .random_rows import alike_rows

if TYPE_CHECKING:
    import pytest

    from palomar_server.table import Rows

WARM = PortHeaders()
"""Keeps what it made of all examples."""
# On both sides of each length that a port may have.
PORTS = st.sampled_from((0, 1, 127, 128, 16_383, 16_384, 65_535)) | st.integers(0, 65_535)
WITH_PORTS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)


def expected(rows: Rows) -> list[bytes]:
    """What protobuf makes of the rows."""
    flows = [flow_pb2.Flow() for _ in rows]
    for flow, row in zip(flows, rows, strict=True):
        set_header(flow, fields_of(row))
    return [flow.SerializeToString() for flow in flows]


@given(
    st.lists(
        st.tuples(PORTS, PORTS, st.sampled_from(WITH_PORTS), st.integers(0, 0x1FF)), max_size=20
    )
)
def test_headers_are_the_bytes_that_protobuf_makes(
    headers: list[tuple[int, int, Protocol, int]],
) -> None:
    rows = flow_rows(len(headers))
    names = ["source_port", "destination_port", "protocol", "tcp_flags"]
    for row, header in zip(rows, headers, strict=True):
        for name, value in zip(names, header, strict=True):
            row[name] = value
    assert WARM.has(rows).all()
    for headers_of in (WARM.of, WARM.of, PortHeaders().of):
        assert headers_of(rows) == expected(rows)


@given(alike_rows())
def test_of_any_rows_those_with_ports_have_such_headers(rows: Rows) -> None:
    has_ports = WARM.has(rows)
    for row, has in zip(rows, has_ports.tolist(), strict=True):
        flow = flow_pb2.Flow()
        set_header(flow, fields_of(row))
        of_packet = row["event_type"] != MessageType.TRACE_SOCK
        assert has == (flow.l4.WhichOneof("protocol") in ("TCP", "UDP", "SCTP") and of_packet)
    assert WARM.of(rows[has_ports]) == expected(rows[has_ports])


def test_only_packets_whose_header_was_decoded_have_one() -> None:
    rows = flow_rows(
        4,
        protocol=[Protocol.TCP, Protocol.TCP, Protocol.ICMP, Protocol.UDP],
        flags=[Flag.L4, Flag.IP, Flag.L4, Flag.L4],
        event_type=[*[MessageType.TRACE] * 3, MessageType.TRACE_SOCK],
    )
    assert PortHeaders.has(rows).tolist() == [True, False, False, False]


def test_headers_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_headers, "KEPT_MAX", 4)
    headers = PortHeaders()
    rows = flow_rows(50, source_port=np.arange(50) % 7)
    assert headers.of(rows) == expected(rows)
    assert len(headers._kept) <= 4
