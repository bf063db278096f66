from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.payload import EXT_VERSION, MessageType, TraceReason
from palomar_proto.flow import flow_pb2
from palomar_server.decode.decoder import Decoder
from palomar_server.endpoints import IDENTITY_WORLD, EndpointTable
from palomar_server.surroundings import Surroundings
from palomar_server.table import Protocol
from palomar_server.testing import (
    ACK,
    START_NS,
    SYN,
    batch_of,
    drop_payload,
    packet,
    trace_payload,
    transport,
)

WEB, CART = "10.0.0.10", "10.0.0.11"
CONTEXT = {
    "reasons": {"2": "NO_SOCKET"},
    "links": {"3": "eth0"},
    "endpoints": {
        "web": {"at_ns": 0, "addresses": [WEB, "fd00::a"], "id": 1, "identity": 1001},
        "cart": {"at_ns": 0, "addresses": [CART], "id": 2, "identity": 1002},
    },
}


def new_decoder() -> Decoder:
    surroundings = Surroundings(EndpointTable())
    surroundings.apply(CONTEXT)
    return Decoder(surroundings)


def one(payload: bytes) -> Any:
    [row] = new_decoder().decode(batch_of([payload])).rows
    return row


GOOD = (
    trace_payload(packet(WEB, CART), source=1, reason=TraceReason.REPLY, ifindex=3),
    trace_payload(packet("fd00::a", "fd00::b", Protocol.UDP), extension={"time_ns": 5}),
    drop_payload(
        packet(CART, WEB, Protocol.ICMP),
        source=2,
        extension={"time_ns": 7, "drop_reason": 2, "location": 9, "interface": b"eth0"},
    ),
    drop_payload(packet(WEB, CART, Protocol.SCTP), subtype=133),
    trace_payload(packet(WEB, CART, body=transport(tcp_flags=SYN | ACK) + b"data"), version=0),
    trace_payload(b""),
    trace_payload(packet(WEB, CART)[:14]),
    drop_payload(packet(WEB, CART, ethernet=False), flags=2),
)


def damaged(payload: bytes) -> st.SearchStrategy[bytes]:
    """The payload cut somewhere, with some bytes overwritten."""

    def damage(length: int, changes: dict[int, int]) -> bytes:
        content = bytearray(payload[:length])
        for at, value in changes.items():
            if at < len(content):
                content[at] = value
        return bytes(content)

    return st.builds(
        damage,
        st.integers(0, len(payload)),
        st.dictionaries(st.integers(0, len(payload)), st.integers(0, 255), max_size=6),
    )


HEADS = st.builds(
    lambda kind, version, ext, rest: bytes([kind]) + bytes(13) + bytes([version, ext]) + rest,
    st.sampled_from([1, 2, 4, 5, 129, 130]),
    st.sampled_from([0, 1, 2, 3, 4]),
    st.sampled_from([0, EXT_VERSION, 1]),
    st.binary(max_size=150),
)
GARBAGE = st.binary(max_size=200) | HEADS | st.sampled_from(GOOD).flatmap(damaged)


def rows_and_malformed(payloads: list[bytes]) -> tuple[Counter[bytes], int]:
    """The rows as bytes, told apart by their strings rather than by their place in a table."""
    decoded = new_decoder().decode(batch_of(payloads))
    rows = decoded.rows.copy()
    # Numbers of tables that grow with each batch depend on what else is in it.
    rows["interface"] = 0
    rows["drop_site"] = 0
    return Counter(row.tobytes() for row in rows), decoded.malformed.total()


@settings(max_examples=300, deadline=None)
@given(st.lists(GARBAGE, max_size=6))
@example([b""])
def test_every_payload_becomes_a_row_or_is_counted(payloads: list[bytes]) -> None:
    decoded = new_decoder().decode(batch_of(payloads))
    assert len(decoded.rows) + decoded.malformed.total() == len(payloads)
    times = decoded.rows["time_ns"]
    assert (times[1:] >= times[:-1]).all()
    firsts = Counter(payload[0] if payload else 0 for payload in payloads)
    for (kind, _), count in decoded.malformed.items():
        assert count <= firsts[kind]


@settings(max_examples=300, deadline=None)
@given(st.lists(GARBAGE, max_size=4), st.permutations(GOOD), st.integers(0, len(GOOD)))
def test_an_event_is_decoded_alike_whatever_is_beside_it(
    garbage: list[bytes], good: list[bytes], count: int
) -> None:
    good = good[:count]
    together = [*good[: count // 2], *garbage, *good[count // 2 :]]
    rows, malformed = rows_and_malformed(together)
    alone = [rows_and_malformed([payload]) for payload in together]
    assert rows == sum((one for one, _ in alone), Counter[bytes]())
    assert malformed == sum(one for _, one in alone)


@pytest.mark.parametrize("payload", GOOD)
def test_a_payload_cut_anywhere_becomes_a_row_or_is_counted(payload: bytes) -> None:
    good, _ = rows_and_malformed([GOOD[0]])
    for length in range(len(payload)):
        rows, malformed = rows_and_malformed([GOOD[0], payload[:length], GOOD[0]])
        assert rows.total() + malformed == 3
        assert all(rows[row] >= 2 for row in good)


def test_bytes_between_payloads_play_no_part() -> None:
    payloads = [b"\xee" * 5, GOOD[0], b"\xee" * 200, GOOD[2], b"\xee" * 3]
    whole = batch_of(payloads)
    which = np.array([1, 3])
    batch = PayloadBatch(
        whole.buffer, whole.offsets[which], whole.lengths[which], whole.cpus[which], START_NS
    )
    assert new_decoder().decode(batch).rows.tobytes() == (
        new_decoder().decode(batch_of([GOOD[0], GOOD[2]])).rows.tobytes()
    )


def test_a_batch_is_not_changed() -> None:
    batch = batch_of(GOOD)
    before = batch.buffer.tobytes()
    new_decoder().decode(batch)
    assert batch.buffer.tobytes() == before


def test_an_empty_batch_has_no_rows() -> None:
    decoded = new_decoder().decode(batch_of([]))
    assert (len(decoded.rows), decoded.malformed) == (0, Counter())


def test_rows_come_in_order_of_time_and_equal_times_as_they_came() -> None:
    times = [30, 10, 20, 10] * 50
    payloads = [
        trace_payload(packet(body=transport(source_port=port)), extension={"time_ns": time})
        for port, time in enumerate(times)
    ]
    rows = new_decoder().decode(batch_of(payloads)).rows
    assert rows["source_port"].tolist() == sorted(range(200), key=times.__getitem__)


def test_payloads_without_time_have_that_of_the_batch() -> None:
    assert one(GOOD[0])["time_ns"] == START_NS


@pytest.mark.parametrize(
    ("payload", "direction"),
    [
        (trace_payload(packet(WEB, CART), source=1, reason=0), flow_pb2.EGRESS),
        (trace_payload(packet(CART, WEB), source=1, reason=0), flow_pb2.INGRESS),
        (trace_payload(packet(WEB, CART), source=1, reason=2), flow_pb2.INGRESS),
        (trace_payload(packet(CART, WEB), source=1, reason=2), flow_pb2.EGRESS),
        (trace_payload(packet(WEB, CART), source=1, reason=3), flow_pb2.EGRESS),
        (trace_payload(packet(WEB, CART), source=1, reason=6), flow_pb2.EGRESS),
        (trace_payload(packet(WEB, CART), source=1, reason=5), flow_pb2.TRAFFIC_DIRECTION_UNKNOWN),
        (trace_payload(packet(WEB, CART), source=0, reason=0), flow_pb2.TRAFFIC_DIRECTION_UNKNOWN),
        (trace_payload(packet(WEB, CART), source=7777, reason=0), flow_pb2.INGRESS),
        (drop_payload(packet(WEB, CART), source=1), flow_pb2.EGRESS),
        (drop_payload(packet(CART, WEB), source=1), flow_pb2.INGRESS),
        (drop_payload(packet(CART, WEB), source=0), flow_pb2.TRAFFIC_DIRECTION_UNKNOWN),
    ],
)
def test_direction_is_that_of_the_connection_at_the_local_endpoint(
    payload: bytes, direction: int
) -> None:
    assert one(payload)["direction"] == direction


def test_identities_come_from_the_event_then_from_the_endpoint_then_are_the_world() -> None:
    row = one(trace_payload(packet(WEB, CART), src_label=5))
    assert (row["source_identity"], row["destination_identity"]) == (5, 1002)
    row = one(trace_payload(packet(WEB, "192.0.2.9")))
    assert (row["source_identity"], row["destination_identity"]) == (1001, IDENTITY_WORLD)


def test_without_ip_header_there_is_no_endpoint_and_no_identity() -> None:
    row = one(trace_payload(packet(WEB, CART)[:14]))
    assert (row["source_endpoint"], row["source_identity"]) == (0, 0)


def test_an_event_finds_the_endpoints_of_its_own_time() -> None:
    decoder = new_decoder()
    surroundings = decoder._surroundings
    moved = {"at_ns": 100, "addresses": [WEB], "id": 9, "identity": 1009}
    surroundings.apply({"endpoints": {"new": moved}})
    payloads = [trace_payload(packet(WEB, CART), extension={"time_ns": time}) for time in (99, 100)]
    rows = decoder.decode(batch_of(payloads)).rows
    assert rows["source_identity"].tolist() == [1001, 1009]


def test_both_families_share_a_batch() -> None:
    payloads = [
        trace_payload(packet(WEB, CART)),
        trace_payload(packet("fd00::a", "fd00::b")),
        bytes([MessageType.AGENT]) * 40,
        drop_payload(packet(WEB, CART, Protocol.UDP)),
    ]
    decoded = new_decoder().decode(batch_of(payloads))
    assert decoded.rows["ip_version"].tolist() == [1, 2, 1]
    assert decoded.rows["source_identity"].tolist() == [1001, 1001, 1001]
