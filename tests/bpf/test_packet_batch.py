from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.packet_batch import PacketBatch, pack_rules, split_rules
from palomar_bpf.payload import DROP_HEAD, EXTENSION, TRACE_HEAD, MessageType
from palomar_bpf.ring import drain
from palomar_bpf.testing import FakeRing

rule_sets = st.sets(st.integers(0, 255), max_size=5)


def split(ring: FakeRing) -> PacketBatch:
    """What is in a ring."""
    drained = drain([ring.reader])
    assert drained is not None
    return split_rules(
        PayloadBatch(drained.buffer, drained.offsets, drained.lengths, drained.cpus, received_ns=1)
    )


@given(st.lists(st.tuples(rule_sets, st.binary(min_size=1, max_size=99)), min_size=1, max_size=20))
def test_rules_are_taken_off_the_begin_of_each_sample(
    packets: list[tuple[set[int], bytes]],
) -> None:
    ring = FakeRing(data_pages=4)
    packed = pack_rules([rules for rules, _ in packets])
    for row, (_, payload) in enumerate(packets):
        assert ring.emit(packed[row].tobytes() + payload)
    batch = split(ring)
    assert len(batch) == len(batch.payloads) == len(packets)
    assert np.array_equal(batch.rules, packed)
    for row, (rules, payload) in enumerate(packets):
        assert batch.payloads.payload(row).rstrip(b"\0") == payload.rstrip(b"\0")
        assert {rule for rule in range(256) if batch.matching(rule)[row]} == rules


tags = st.sampled_from((b"", b"\x81\x00\x00\x05", b"\x88\xa8\xe0\x00"))
kinds = st.sampled_from((MessageType.TRACE, MessageType.DROP))


def message(kind: MessageType, packet: bytes, original_bytes: int, tag: bytes) -> bytes:
    """As record.c sends it."""
    head = np.zeros(1, DROP_HEAD if kind is MessageType.DROP else TRACE_HEAD)
    head["type"], head["len_orig"], head["len_cap"] = kind, original_bytes, len(packet)
    head["src_label"] = np.frombuffer(tag or bytes(4), "=u4")
    head["ifindex"] = 7
    return head.tobytes() + b"e" * EXTENSION.itemsize + packet


@given(st.lists(st.tuples(kinds, st.binary(max_size=99), tags, rule_sets), min_size=1, max_size=20))
def test_tags_beside_packets_are_put_back_into_them(
    packets: list[tuple[MessageType, bytes, bytes, set[int]]],
) -> None:
    ring = FakeRing(data_pages=8)
    packed = pack_rules([rules for *_, rules in packets])
    for row, (kind, packet, tag, _) in enumerate(packets):
        assert ring.emit(packed[row].tobytes() + message(kind, packet, 200, tag))
    batch = split(ring)
    assert np.array_equal(batch.rules, packed)
    for row, (kind, packet, tag, _) in enumerate(packets):
        whole = packet[:12] + tag + packet[12:] if len(packet) >= 12 else packet
        expected = message(kind, whole, 200 + len(tag), b"")
        found = batch.payloads.payload(row)
        assert found[: len(expected)] == expected
        assert len(found) - len(expected) < 8
