from __future__ import annotations

from palomar_recorder.counts import Counts, PacketCount


def test_packets_and_their_bytes_add_up() -> None:
    count = PacketCount()
    count.add(3, 300)
    count.add(1, 0)
    assert count == PacketCount(4, 300)


def test_lost_packets_are_those_of_all_stages() -> None:
    counts = Counts()
    counts.captured.add(100, 1)
    counts.written.add(50, 1)
    counts.lost_perf_ring.add(1, 1)
    counts.lost_sink_queue.add(20, 1)
    counts.lost_disk.add(300, 1)
    assert counts.lost_packets == 321


def test_counts_of_two_recordings_are_apart() -> None:
    first, second = Counts(), Counts()
    first.captured.add(1, 1)
    assert second.captured.packets == 0
