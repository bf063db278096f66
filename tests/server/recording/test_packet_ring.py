"""The ring before a trigger keeps what is young enough and fits."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_recorder.testing import START_NS, packets_of
from palomar_server.recording.packet_ring import PacketRing


def contents(ring: PacketRing, since_ns: int = 0) -> list[bytes]:
    return [
        piece.buffer[start : start + length].tobytes()
        for piece in ring.take(since_ns)
        for start, length in zip(piece.offsets, piece.captured_bytes, strict=True)
    ]


def test_what_is_not_older_comes_out_in_order() -> None:
    ring = PacketRing(1 << 20, 10_000)
    ring.add(packets_of([b"a", b"b"]))
    ring.add(packets_of([b"c", b"d"], times_ns=[START_NS + 2_000, START_NS + 3_000]))
    assert contents(ring, START_NS + 1_000) == [b"b", b"c", b"d"]
    assert contents(ring) == []
    assert ring.bytes == 0


def test_what_is_older_than_the_span_goes() -> None:
    ring = PacketRing(1 << 20, 1_000)
    ring.add(packets_of([b"a"], times_ns=[START_NS]))
    taken = ring.bytes
    ring.add(packets_of([b"b"], times_ns=[START_NS + 5_000]))
    assert ring.bytes == taken
    assert contents(ring) == [b"b"]


def test_what_comes_late_and_pushes_out_all_others_may_be_too_old_itself() -> None:
    ring = PacketRing(1 << 16, 1_000)
    ring.add(packets_of([bytes(40_000)], times_ns=[START_NS + 5_000]))
    ring.add(packets_of([bytes(30_000)], times_ns=[START_NS]))
    assert ring.bytes == 0
    ring.add(packets_of([b"a"], times_ns=[START_NS + 6_000]))
    assert contents(ring) == [b"a"]


@pytest.mark.parametrize("set_ns", [-50_000, 50_000])
def test_what_it_keeps_goes_along_where_the_clock_is_set(set_ns: int) -> None:
    ring = PacketRing(1 << 20, 1_000)
    ring.add(packets_of([b"a"], times_ns=[START_NS]))
    ring.clock_set(set_ns)
    ring.add(packets_of([b"b"], times_ns=[START_NS + set_ns + 500]))
    assert contents(ring, START_NS + set_ns) == [b"a", b"b"]


@given(st.lists(st.lists(st.binary(max_size=4_000), min_size=1, max_size=8), max_size=12))
def test_memory_is_bounded_and_holds_the_last_packets(pieces: list[list[bytes]]) -> None:
    ring = PacketRing(1 << 16, 1 << 62)
    for piece in pieces:
        ring.add(packets_of(piece))
        assert ring.bytes <= 1 << 16
    everything = [content for piece in pieces for content in piece]
    kept = contents(ring)
    assert kept == everything[len(everything) - len(kept) :]
    if pieces and len(pieces[-1]) < 5:
        assert len(kept) >= len(pieces[-1])


def test_of_many_that_came_at_once_only_as_many_go_as_others_need() -> None:
    ring = PacketRing(1 << 20, 1 << 62)
    ring.add(packets_of([bytes(1_000)] * 900))
    ring.add(packets_of([bytes(1_000)] * 100))
    ring.add(packets_of([b"a"]))
    kept = contents(ring)
    assert len(kept) > 800
    assert kept[-1] == b"a"


def test_of_a_flood_that_does_not_fit_the_last_ones_are_kept() -> None:
    ring = PacketRing(1 << 16, 1 << 62)
    ring.add(packets_of([bytes([number]) * 30_000 for number in range(10)]))
    assert contents(ring)[-1] == b"\x09" * 30_000
    ring.add(packets_of([bytes(70_000)]))
    assert contents(ring) == []


def test_packets_that_come_one_by_one_take_no_more_memory_than_they_may() -> None:
    ring = PacketRing(1 << 20, 1 << 62)
    tracemalloc.start()
    try:
        for _ in range(5_000):
            ring.add(packets_of([b"a"]).compacted())
        used_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used_bytes < 1.5 * (1 << 20)
