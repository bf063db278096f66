from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.payload import EXT_VERSION, MessageType, TraceReason
from palomar_proto.flow import flow_pb2
from palomar_server.decode.decoder import Decoder
from palomar_server.decode.options import DecodeOptions
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
from tests.server.decode.builders import (
    capture,
    geneve,
    of_ours,
    policy_verdict,
    rows_of,
    trace_sock,
    trace_v1,
    tunnelled,
    vxlan,
)

if TYPE_CHECKING:
    from pathlib import Path

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
    trace_v1(packet(WEB, CART), b"\x0a\0\0\x0b", source=1),
    trace_v1(packet(WEB, CART, Protocol.SCTP), flags=1),
    policy_verdict(packet(CART, WEB, Protocol.UDP), verdict=-133, flags=1, source=1),
    policy_verdict(packet("fd00::a", "fd00::b", ethernet=False), verdict=10, flags=0x86),
    capture(packet(WEB, CART, Protocol.IGMP, bytes(8)), subtype=4, arg1=3),
    trace_sock(b"\x0a\0\0\x0b", subtype=2, protocol=1, dst_port=80, cookie=9, cgroup_id=7),
    trace_payload(tunnelled(vxlan(packet(WEB, CART))), flags=4),
    drop_payload(tunnelled(geneve(packet(WEB, CART), options=bytes(4))), flags=8, subtype=133),
    trace_payload(packet(WEB, CART, 41, packet("fd00::a", "fd00::b", ethernet=False))),
    trace_payload(packet("fd00::a", "fd00::b", 0, b"\x06\0\1\4\0\0\0\0" + transport())),
)
RARE = (
    bytes.fromhex("0205e903") + bytes(16),
    bytes([MessageType.AGENT]) * 40,
    bytes([MessageType.ACCESS_LOG]) * 40,
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
    st.sampled_from([1, 2, 3, 4, 5, 6, 7, 129, 130]),
    st.sampled_from([0, 1, 2, 3, 4]),
    st.sampled_from([0, EXT_VERSION, 1]),
    st.binary(max_size=150),
)
GARBAGE = st.binary(max_size=200) | HEADS | st.sampled_from(GOOD + RARE).flatmap(damaged)


def rows_and_malformed(payloads: list[bytes]) -> tuple[Counter[bytes], Counter[Any]]:
    """The rows as bytes, told apart by their content rather than by their place in a table."""
    decoded = new_decoder().decode(batch_of(payloads))
    return Counter(rows_of(decoded)), decoded.malformed


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
    assert malformed == sum((one for _, one in alone), Counter[Any]())


@pytest.mark.parametrize("payload", GOOD)
def test_a_payload_cut_anywhere_becomes_a_row_or_is_counted(payload: bytes) -> None:
    good, _ = rows_and_malformed([GOOD[0]])
    for length in range(len(payload)):
        rows, malformed = rows_and_malformed([GOOD[0], payload[:length], GOOD[0]])
        assert rows.total() + malformed.total() == 3
        assert all(rows[row] >= 2 for row in good)


def corpus(shared: Path) -> list[bytes]:
    """The perf samples of the conformance cases."""
    with (shared / "conformance" / "decode.jsonl").open(encoding="utf-8") as lines:
        cases = [json.loads(line) for line in lines]
    return [bytes.fromhex(case["data"]) for case in cases if case["kind"] == "perf"]


def test_cases_in_one_batch_are_decoded_as_each_alone(shared: Path) -> None:
    payloads = corpus(shared)
    rows, malformed = rows_and_malformed(payloads)
    alone = [rows_and_malformed([payload]) for payload in payloads]
    assert rows == sum((one for one, _ in alone), Counter[bytes]())
    assert malformed == sum((one for _, one in alone), Counter[Any]())


def test_cases_cut_anywhere_cost_no_other_event(shared: Path) -> None:
    # Those that differ in their values alone are cut alike.
    shapes = {(payload[0], len(payload)): payload for payload in corpus(shared) if payload}
    good, _ = rows_and_malformed([GOOD[0]])
    for payload in shapes.values():
        cut = [payload[:length] for length in range(len(payload))]
        ours = [of_ours(one, 32) for one in cut if one[:1] == b"\x04" and len(one) > 32]
        batch = [one for piece in cut + ours for one in (GOOD[0], piece)]
        rows, malformed = rows_and_malformed(batch)
        assert rows.total() + malformed.total() == len(batch)
        assert all(rows[row] >= len(cut) + len(ours) for row in good)


def test_socket_events_of_no_known_pod_are_left_out_where_so_chosen() -> None:
    payloads = [trace_sock(b"\x0a\0\0\x0b", cgroup_id=7), GOOD[0], RARE[0]]
    known = Surroundings(EndpointTable())
    for skip, left in ((False, 3), (True, 2)):
        decoder = Decoder(known, DecodeOptions(skip_unknown_cgroup_ids=skip))
        decoded = decoder.decode(batch_of(payloads))
        assert (len(decoded.rows), decoded.malformed) == (left, Counter())
        assert [decoded.rows["event_type"][-1], decoded.rows["message"][-1]] == [2, 1]


def test_batches_without_socket_events_are_the_same_whatever_was_chosen() -> None:
    known = Surroundings(EndpointTable())
    for payloads in ([GOOD[0]], [*GOOD[:2], b"\xee", RARE[0]]):
        plain, choosy = (
            Decoder(known, DecodeOptions(skip_unknown_cgroup_ids=skip)).decode(batch_of(payloads))
            for skip in (False, True)
        )
        assert choosy.rows.tobytes() == plain.rows.tobytes()
        assert (choosy.messages, choosy.malformed) == (plain.messages, plain.malformed)


def test_rows_of_one_batch_are_not_touched_by_the_next() -> None:
    decoder = new_decoder()
    mixed = [GOOD[0], GOOD[3]]
    first = decoder.decode(batch_of(mixed)).rows
    before = first.tobytes()
    decoder.decode(batch_of([GOOD[3], GOOD[1]]))
    assert first.tobytes() == before


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
    row = one(trace_payload(packet(WEB, "192.0.2.9"), extension={}))
    assert (row["source_identity"], row["destination_identity"]) == (1001, IDENTITY_WORLD)
    # Cilium's own events say so themselves.
    row = one(trace_payload(packet(WEB, "192.0.2.9")))
    assert (row["source_identity"], row["destination_identity"]) == (1001, 0)


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
