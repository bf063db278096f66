from __future__ import annotations

import struct

import numpy as np
import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.decode.gather import Scratch
from palomar_server.decode.malformed import Malformed
from palomar_server.decode.tunnel import TunnelHeaders, enter_tunnel, leave_outside
from palomar_server.table import Flag
from palomar_server.testing import flow_rows
from tests.server.decode.builders import geneve, vxlan

VXLAN, GENEVE = int(flow_pb2.Tunnel.VXLAN), int(flow_pb2.Tunnel.GENEVE)


def read(*tunnels: tuple[int, bytes]) -> TunnelHeaders:
    payloads = [payload for _, payload in tunnels]
    lengths = np.array([len(payload) for payload in payloads], np.int64)
    buffer = Scratch().padded(np.frombuffer(b"".join(payloads), np.uint8))
    ends = lengths.cumsum()
    kinds = np.array([kind for kind, _ in tunnels], np.uint8)
    return TunnelHeaders(buffer, kinds, ends - lengths, ends)


def option(words: int) -> bytes:
    return struct.pack(">HBB", 0x014B, 0x81, words) + bytes(words * 4)


def test_headers_tell_network_and_what_follows() -> None:
    found = read(
        (VXLAN, vxlan(b"inner", 0xFFFFFF)),
        (GENEVE, geneve(b"inner", 5, 0x0800)),
        (GENEVE, geneve(b"inner", 0, 0x6558, option(2) + option(0))),
    )
    assert found.fault.tolist() == [0, 0, 0]
    assert found.vni.tolist() == [0xFFFFFF, 5, 0]
    assert found.ethertype.tolist() == [0x6558, 0x0800, 0x6558]
    assert found.start.tolist() == [8, 13 + 8, 26 + 8 + 16]


@pytest.mark.parametrize("kind", [VXLAN, GENEVE])
def test_a_header_that_is_cut_is_malformed(kind: int) -> None:
    whole = vxlan(b"") if kind == VXLAN else geneve(b"")
    for length in range(8):
        found = read((kind, whole[:length]), (kind, whole))
        assert found.fault.tolist() == [Malformed.TUNNEL_TOO_SHORT, 0]


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (geneve(b"", options=option(2))[:-1], Malformed.TUNNEL_TOO_SHORT),
        (geneve(b"", options=option(3)[:8]), Malformed.GENEVE_OPTION),
        # The last option may be longer than the options are said to be.
        (geneve(bytes(8), options=option(3)[:8]), Malformed.NONE),
    ],
)
def test_geneve_options_end_with_the_packet(payload: bytes, fault: Malformed) -> None:
    found = read((GENEVE, payload), (GENEVE, geneve(b"", options=option(1))))
    assert found.fault.tolist() == [fault, 0]


def test_what_is_outside_becomes_the_tunnel() -> None:
    rows = flow_rows(
        1,
        flags=Flag.ETHERNET | Flag.IP | Flag.L4 | Flag.PACKET | Flag.ENCRYPTED,
        source_lo=1,
        destination_hi=2,
        source_port=3,
        destination_port=4,
        protocol=17,
        source_mac=9,
        local_endpoint_id=7,
    )
    enter_tunnel(rows, np.array([GENEVE], np.uint8), np.array([5], np.uint32))
    leave_outside(rows)
    [row] = rows
    assert (row["tunnel_protocol"], row["tunnel_vni"], row["tunnel_ip_version"]) == (GENEVE, 5, 1)
    assert (row["tunnel_source_lo"], row["tunnel_destination_hi"]) == (1, 2)
    assert (row["tunnel_source_port"], row["tunnel_destination_port"]) == (3, 4)
    for column in ("source_lo", "destination_hi", "source_port", "protocol", "ip_version"):
        assert row[column] == 0
    assert not row["source_mac"].any()
    assert row["flags"] == Flag.PACKET | Flag.ENCRYPTED
    assert row["local_endpoint_id"] == 7
