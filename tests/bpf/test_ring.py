import mmap
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.ring import Drained, PerfRing, drain
from palomar_bpf.testing import FakeRing


def payloads(drained: Drained) -> list[bytes]:
    return [
        drained.buffer[offset : offset + length].tobytes()
        for offset, length in zip(drained.offsets, drained.lengths, strict=True)
    ]


def test_empty_rings_give_nothing() -> None:
    assert drain([FakeRing(0).reader, FakeRing(1).reader]) is None


def test_all_rings_are_drained_at_once_in_order_of_emission() -> None:
    rings = [FakeRing(cpu) for cpu in (0, 1, 5)]
    for number in range(3):
        rings[0].emit(b"zero" + bytes([number]) * 8)
        rings[2].emit(b"five" + bytes([number]) * 8)

    drained = drain([ring.reader for ring in rings])

    assert drained is not None
    assert [
        (int(cpu), payload[:5])
        for cpu, payload in zip(drained.cpus, payloads(drained), strict=True)
    ] == [
        (0, b"zero\0"),
        (0, b"zero\1"),
        (0, b"zero\2"),
        (5, b"five\0"),
        (5, b"five\1"),
        (5, b"five\2"),
    ]
    assert not drained.lost
    assert drained.busiest_bytes == 3 * 24
    assert drain([ring.reader for ring in rings]) is None


def test_padding_remains_behind_a_payload() -> None:
    ring = FakeRing()
    ring.emit(b"12345")
    drained = drain([ring.reader])
    assert drained is not None
    assert payloads(drained) == [b"12345\0\0\0\0\0\0\0"]


def test_events_across_the_end_of_the_ring_are_put_together() -> None:
    ring = FakeRing()
    for number in range(1000):
        payload = os.urandom(100 + number % 200)
        assert ring.emit(payload)
        drained = drain([ring.reader])
        assert drained is not None
        assert payloads(drained)[0][: len(payload)] == payload


def test_a_full_ring_refuses_and_later_says_so() -> None:
    ring = FakeRing()
    emitted = sum(ring.emit(bytes(240)) for _ in range(100))
    first = drain([ring.reader])
    assert ring.emit(b"after")
    second = drain([ring.reader])

    assert first is not None
    assert second is not None
    assert len(first.offsets) == emitted < 100
    assert ring.refused == 100 - emitted
    assert not first.lost
    assert second.lost
    assert payloads(second)[0].startswith(b"after")


def test_a_ring_may_be_filled_to_its_last_byte() -> None:
    ring = FakeRing()
    while ring.emit(bytes(4)):
        pass
    drained = drain([ring.reader])
    assert drained is not None
    assert len(drained.offsets) == mmap.PAGESIZE // 16
    assert drained.busiest_bytes == ring.size_bytes


def test_the_buffer_is_not_the_ring() -> None:
    ring = FakeRing()
    ring.emit(b"kept" * 4)
    drained = drain([ring.reader])
    ring.memory[:] = bytes(len(ring.memory))
    assert drained is not None
    assert payloads(drained) == [b"kept" * 4 + bytes(4)]


def test_damage_is_skipped_and_counted() -> None:
    ring = FakeRing()
    ring.emit(b"good")
    ring.write(bytes(32))
    drained = drain([ring.reader])
    assert drained is not None
    assert payloads(drained) == [b"good"]
    assert drained.damaged_bytes == 32
    assert ring.emit(b"next")
    again = drain([ring.reader])
    assert again is not None
    assert payloads(again) == [b"next"]


def test_the_fence_stands_before_the_copies_and_before_the_release() -> None:
    ring = FakeRing()
    ring.emit(b"once")
    unread_at_fence: list[bool] = []

    def fence() -> None:
        tail, head = ring.reader.unread()
        unread_at_fence.append(head != tail)

    drain([ring.reader], fence)
    assert unread_at_fence == [True, True]
    assert ring.reader.unread() == (16, 16)


def test_a_ring_of_three_pages_is_refused() -> None:
    with pytest.raises(ValueError, match="power of two"):
        PerfRing(0, bytearray(4 * mmap.PAGESIZE))


@given(
    rounds=st.lists(
        st.lists(st.tuples(st.integers(0, 1), st.binary(min_size=1, max_size=600)), max_size=20),
        max_size=20,
    )
)
def test_what_goes_in_comes_out_per_cpu(rounds: list[list[tuple[int, bytes]]]) -> None:
    rings = [FakeRing(0), FakeRing(1)]
    for events in rounds:
        accepted: list[list[bytes]] = [[], []]
        for cpu, payload in events:
            if rings[cpu].emit(payload):
                accepted[cpu].append(payload)
        drained = drain([ring.reader for ring in rings])
        got = [] if drained is None else payloads(drained)
        wanted = accepted[0] + accepted[1]
        assert [payload[: len(want)] for payload, want in zip(got, wanted, strict=True)] == wanted
