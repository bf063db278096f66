"""The ring before a trigger keeps what is young enough and fits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_recorder.testing import START_NS, packets_of
from palomar_server.recording.packet_ring import PacketRing, compacted


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


@pytest.mark.parametrize("set_ns", [-50_000, 50_000])
def test_what_it_keeps_goes_along_where_the_clock_is_set(set_ns: int) -> None:
    ring = PacketRing(1 << 20, 1_000)
    ring.add(packets_of([b"a"], times_ns=[START_NS]))
    ring.clock_set(set_ns)
    ring.add(packets_of([b"b"], times_ns=[START_NS + set_ns + 500]))
    assert contents(ring, START_NS + set_ns) == [b"a", b"b"]


@given(st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=8), max_size=12))
def test_memory_is_bounded_and_holds_the_last_packets(pieces: list[list[bytes]]) -> None:
    ring = PacketRing(600, 1 << 62)
    for piece in pieces:
        ring.add(packets_of(piece))
        assert ring.bytes <= 600
    everything = [content for piece in pieces for content in piece]
    kept = contents(ring)
    assert kept == everything[len(everything) - len(kept) :]
    if pieces and len(pieces[-1]) < 5:
        assert len(kept) >= len(pieces[-1])


def test_of_a_flood_that_does_not_fit_the_last_ones_are_kept() -> None:
    ring = PacketRing(300, 1 << 62)
    ring.add(packets_of([bytes([number]) * 100 for number in range(10)]))
    assert contents(ring) == [b"\x09" * 100]
    ring.add(packets_of([bytes(1_000)]))
    assert contents(ring) == []


@given(st.lists(st.binary(max_size=20), max_size=10), st.data())
def test_compacted_packets_hold_their_own_bytes_alone(
    packets: list[bytes], data: st.DataObject
) -> None:
    which = data.draw(st.lists(st.booleans(), min_size=len(packets), max_size=len(packets)))
    some = compacted(packets_of(packets).take(np.array(which, np.bool_)))
    chosen = [packet for packet, is_chosen in zip(packets, which, strict=True) if is_chosen]
    assert some.buffer.tobytes() == b"".join(chosen)
    assert [
        some.buffer[start : start + length].tobytes()
        for start, length in zip(some.offsets, some.captured_bytes, strict=True)
    ] == chosen
