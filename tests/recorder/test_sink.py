from __future__ import annotations

import dataclasses
import io
import struct
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest

from palomar_recorder.ending import Ending, WriteError
from palomar_recorder.pcap import PcapEncoder
from palomar_recorder.pcapng import PcapngEncoder
from palomar_recorder.sink import Sink
from palomar_recorder.stop_condition import StopCondition
from palomar_recorder.testing import START_NS, MemoryTarget, packets_of
from palomar_recorder.whole_length import whole_length
from tests.e2e.capture_file import parse_capture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_recorder.encoder import Buffer, Encoder
    from palomar_recorder.packets import Packets

WAIT_S = 10


class Recording:
    """A sink into memory, and what it told."""

    def __init__(
        self,
        *,
        stop: StopCondition | None = None,
        snaplen_bytes: int = 0,
        queue_bytes_max: int = 1 << 20,
        target: MemoryTarget | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        self.changes = 0
        self.ends = 0
        self.target = target or MemoryTarget()
        self.sink = Sink(
            encoder or PcapEncoder(snaplen_bytes=snaplen_bytes),
            self.target,
            snaplen_bytes=snaplen_bytes,
            stop=stop or StopCondition(),
            queue_bytes_max=queue_bytes_max,
            on_change=self._changed,
            on_end=self._ended,
        )

    def _changed(self) -> None:
        self.changes += 1

    def _ended(self) -> None:
        self.ends += 1

    def finish(self, ending: Ending = Ending.STOPPED) -> None:
        self.sink.close(ending)
        assert self.sink.join(WAIT_S)
        counts = self.sink.counts
        known = counts.written.packets + counts.lost_sink_queue.packets + counts.lost_disk.packets
        assert counts.captured.packets == known

    def contents(self) -> list[bytes]:
        """The packets in the file."""
        data, at, found = bytes(self.target.content), 24, []
        while at < len(data):
            (size,) = struct.unpack_from("=8xI", data, at)
            found.append(data[at + 16 : at + 16 + size])
            at += 16 + size
        return found


def numbered(first: int, count: int, size: int = 8) -> Packets:
    """Packets that say which they are."""
    contents = [struct.pack("=Q", first + index).ljust(size, b".") for index in range(count)]
    return packets_of(contents)


def numbers(contents: Sequence[bytes]) -> list[int]:
    return [struct.unpack_from("=Q", content)[0] for content in contents]


def test_what_is_offered_is_written_in_order_and_close_drains() -> None:
    recording = Recording()
    recording.target.open.clear()
    recording.sink.start()
    for first in range(0, 1_000, 10):
        recording.sink.offer(numbered(first, 10))
    recording.sink.close(Ending.STOPPED)
    assert not recording.sink.ended
    recording.target.open.set()
    recording.finish()
    assert numbers(recording.contents()) == list(range(1_000))
    assert recording.sink.ending is Ending.STOPPED
    assert recording.target.is_finished
    assert recording.ends == 1


def test_packets_may_be_offered_before_the_start() -> None:
    recording = Recording()
    recording.sink.offer(numbered(0, 3))
    recording.sink.start()
    recording.finish()
    assert numbers(recording.contents()) == [0, 1, 2]


def test_closing_a_sink_that_never_started_finishes_its_target() -> None:
    recording = Recording()
    recording.finish(Ending.ERROR)
    recording.sink.start()  # too late, and no harm
    assert recording.target.is_finished
    assert recording.sink.ending is Ending.ERROR


def test_after_the_end_nothing_is_taken() -> None:
    recording = Recording()
    recording.sink.start()
    recording.finish()
    before = recording.sink.counts
    recording.sink.offer(numbered(0, 3))
    recording.sink.add_lost_perf_ring(3, 300)
    recording.sink.close(Ending.SHUTDOWN, "later")
    assert recording.sink.counts == before
    assert (recording.sink.ending, recording.sink.message) == (Ending.STOPPED, "")


@pytest.mark.parametrize(
    ("stop", "ending"),
    [
        (StopCondition(packets=25), Ending.PACKETS),
        (StopCondition(bytes=25 * 8), Ending.BYTES),
        (StopCondition(bytes=24 * 8 + 1), Ending.BYTES),
    ],
)
def test_limits_are_exact_to_the_packet(stop: StopCondition, ending: Ending) -> None:
    recording = Recording(stop=stop)
    recording.sink.start()
    for first in range(0, 100, 10):
        recording.sink.offer(numbered(first, 10))
    assert recording.sink.ending is ending
    recording.finish()
    assert numbers(recording.contents()) == list(range(25))
    counts = recording.sink.counts
    assert counts.captured == counts.written
    assert (counts.captured.packets, counts.captured.bytes) == (25, 200)
    assert counts.lost_packets == 0
    assert recording.ends == 2  # the limit, and the end


def test_packets_later_than_the_time_limit_are_not_taken() -> None:
    recording = Recording()
    recording.sink.until_ns = START_NS + 10
    recording.sink.start()
    times_ns = [START_NS + late for late in (0, 11, 10, 1_000)]
    recording.sink.offer(packets_of([b"a", b"b", b"c", b"d"], times_ns=times_ns))
    recording.finish(Ending.DURATION)
    assert recording.contents() == [b"a", b"c"]
    assert recording.sink.counts.captured.packets == 2


def test_the_time_limit_moves_along_where_the_clock_is_set() -> None:
    recording = Recording()
    recording.sink.clock_offset_ns = 50
    recording.sink.until_ns = START_NS + 10
    assert recording.sink.until_steady_ns == START_NS - 40
    recording.sink.clock_offset_ns = 550
    assert recording.sink.until_ns == START_NS + 510
    recording.sink.offer(packets_of([b"a", b"b"], times_ns=[START_NS + 510, START_NS + 511]))
    recording.finish()
    assert recording.contents() == [b"a"]


def test_packets_are_cut_to_the_snaplen_and_count_as_cut() -> None:
    recording = Recording(snaplen_bytes=4)
    recording.sink.start()
    recording.sink.offer(packets_of([b"abcdefgh", b"ab"]))
    recording.finish()
    assert recording.contents() == [b"abcd", b"ab"]
    assert recording.sink.counts.written.bytes == 6


def test_thousands_of_offers_to_a_slow_target_are_all_counted() -> None:
    recording = Recording(queue_bytes_max=1 << 16)
    recording.target.open.clear()
    recording.sink.start()
    for first in range(0, 20_000, 4):
        recording.sink.offer(numbered(first, 4, 100))
        if first == 10_000:
            recording.target.open.set()
    recording.finish()
    counts = recording.sink.counts
    assert (counts.captured.packets, counts.captured.bytes) == (20_000, 2_000_000)
    assert counts.lost_sink_queue.packets > 0
    found = numbers(recording.contents())
    assert len(found) == counts.written.packets == 20_000 - counts.lost_sink_queue.packets
    assert found == sorted(set(found))
    assert counts.written.bytes == 100 * counts.written.packets


def test_the_queue_keeps_within_its_bytes_and_takes_what_fits_of_a_batch() -> None:
    recording = Recording(queue_bytes_max=2_048 + 10 * (100 + 64))
    recording.sink.offer(numbered(0, 12, 100))
    recording.sink.offer(numbered(12, 1, 100))
    counts = recording.sink.counts
    assert (counts.lost_sink_queue.packets, counts.lost_sink_queue.bytes) == (3, 300)
    recording.finish()
    assert numbers(recording.contents()) == list(range(10))


def test_nothing_counts_as_queued_when_all_is_written() -> None:
    recording = Recording(queue_bytes_max=1 << 16)
    recording.sink.start()
    for first in range(0, 600, 3):
        before = recording.sink.counts.captured.packets
        recording.sink.offer(numbered(first, 3, 100))
        while recording.sink.counts.written.packets < before + 3:
            threading.Event().wait(0.0001)
    assert recording.sink._queue_bytes == 0
    recording.finish()
    assert recording.sink.counts.lost_packets == 0


def test_a_limit_counts_what_is_in_the_file_and_not_what_was_lost() -> None:
    recording = Recording(stop=StopCondition(packets=12), queue_bytes_max=2_048 + 10 * (100 + 64))
    recording.sink.offer(numbered(0, 12, 100))
    assert recording.sink.ending is None
    recording.sink.start()
    while recording.sink.counts.written.packets < 10:
        threading.Event().wait(0.001)
    recording.sink.offer(numbered(12, 5, 100))
    recording.finish()
    assert numbers(recording.contents()) == [*range(10), 12, 13]
    assert recording.sink.ending is Ending.PACKETS
    assert recording.sink.counts.lost_sink_queue.packets == 2


@pytest.mark.parametrize("closed", [True, False])
def test_a_failed_write_ends_the_recording_and_counts_what_was_queued(closed: bool) -> None:  # noqa: FBT001
    recording = Recording()
    recording.sink.start()
    recording.sink.offer(numbered(0, 5))
    while recording.sink.counts.written.packets < 5:
        threading.Event().wait(0.001)
    recording.target.open.clear()
    recording.sink.offer(numbered(5, 5))
    recording.sink.offer(numbered(10, 5))
    if closed:
        recording.sink.close(Ending.STOPPED)
    recording.target.error = WriteError(Ending.DISK_FULL, "the disk is full")
    recording.target.open.set()
    recording.finish()
    assert (recording.sink.ending, recording.sink.message) == (
        Ending.DISK_FULL,
        "the disk is full",
    )
    assert recording.sink.counts.lost_disk.packets == 10
    assert numbers(recording.contents()) == list(range(5))
    assert recording.target.is_finished


def test_losses_of_the_perf_ring_are_counted_and_told() -> None:
    recording = Recording()
    recording.sink.start()
    recording.sink.add_lost_perf_ring(3, 300)
    recording.sink.add_lost_perf_ring(0, 0)
    assert recording.changes == 1
    recording.finish()
    counts = recording.sink.counts
    assert (counts.lost_perf_ring.packets, counts.lost_perf_ring.bytes) == (3, 300)
    assert counts.captured.packets == 0


class BrokenEncoder(PcapEncoder):
    def encode(self, packets: Packets) -> Sequence[Buffer]:
        raise ZeroDivisionError("encoder broke")


def test_a_fault_of_the_encoder_ends_the_recording_in_words() -> None:
    recording = Recording(encoder=BrokenEncoder(snaplen_bytes=0))
    recording.sink.start()
    recording.sink.offer(numbered(0, 5))
    assert recording.sink.join(WAIT_S)
    recording.finish()
    assert recording.sink.ending is Ending.ERROR
    assert recording.sink.message == "ZeroDivisionError: encoder broke"
    assert recording.sink.counts.lost_disk.packets == 5
    assert recording.target.is_finished


class LimitedTarget(MemoryTarget):
    """Has room for some bytes, and says so."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self.max_bytes = max_bytes
        self.packets_end = 0
        self.fault = ""
        self.catching_up = 0

    @property
    def room_bytes(self) -> int:
        return self.max_bytes - len(self.content)

    def write(self, buffers: Sequence[Buffer]) -> None:
        if sum(memoryview(buffer).nbytes for buffer in buffers) > self.room_bytes:
            raise WriteError(Ending.FILE_SIZE, "no room")
        super().write(buffers)
        self.packets_end = len(self.content)

    def catch_up(self) -> bool:
        self.catching_up += 1
        return self.catching_up < 5


@pytest.mark.parametrize("max_bytes", [24, 24 + 115, 24 + 116, 4_096, 30_000])
def test_a_file_takes_every_packet_that_its_limit_has_room_for(max_bytes: int) -> None:
    recording = Recording(target=LimitedTarget(max_bytes))
    recording.sink.start()
    recording.sink.offer(numbered(0, 500, 100))
    assert recording.sink.join(WAIT_S)
    assert recording.sink.ending is Ending.FILE_SIZE
    assert len(recording.contents()) == (max_bytes - 24) // 116
    assert recording.sink.counts.written.packets == (max_bytes - 24) // 116
    recording.finish()


@pytest.mark.parametrize("at_once", [500, 1])
@pytest.mark.parametrize("note", ["", "default/web: dropped by NETFILTER_DROP at nft_do_chain"])
def test_a_file_is_filled_whatever_its_packets_take_beside_their_bytes(
    note: str, at_once: int
) -> None:
    target = LimitedTarget(10_000)
    encoder = PcapngEncoder(snaplen_bytes=0, comment="", node_name="n")
    recording = Recording(target=target, encoder=encoder, queue_bytes_max=1 << 22)
    for first in range(0, 500, at_once):
        notes = np.ones(at_once, np.uint32)
        recording.sink.offer(
            dataclasses.replace(numbered(first, at_once), notes=notes, note_table=("", note))
        )
    recording.sink.start()
    assert recording.sink.join(WAIT_S)
    assert recording.sink.ending is Ending.FILE_SIZE
    written = recording.sink.counts.written.packets
    found = [packet.data for packet in parse_capture(bytes(target.content))]
    assert numbers(found) == list(range(written))
    assert recording.sink.counts.lost_disk.packets == 500 - written
    packet_bytes = 32 + 8 + (4 + len(note) + -len(note) % 4 + 4 if note else 0)
    assert target.max_bytes - packet_bytes < target.packets_end <= target.max_bytes


def test_a_target_catches_up_while_nothing_is_to_be_written() -> None:
    target = LimitedTarget(1 << 20)
    recording = Recording(target=target)
    recording.sink.start()
    while target.catching_up < 5:
        threading.Event().wait(0.001)
    recording.sink.offer(numbered(0, 1))
    recording.finish()
    assert numbers(recording.contents()) == [0]


def test_a_fault_at_the_end_fails_the_recording() -> None:
    target = LimitedTarget(1 << 20)
    recording = Recording(target=target)
    recording.sink.start()
    target.fault = "it could not be given its name"
    recording.finish()
    assert recording.sink.ending is Ending.ERROR
    assert recording.sink.message == "it could not be given its name"


@pytest.mark.parametrize(
    ("ending", "stands"),
    [(Ending.FILE_SIZE, Ending.ERROR), (Ending.DISK_FULL, Ending.DISK_FULL)],
)
def test_a_fault_at_the_end_is_told_beside_the_limit_that_was_reached(
    ending: Ending, stands: Ending
) -> None:
    target = LimitedTarget(1 << 20)
    recording = Recording(target=target)
    recording.sink.start()
    while not target.content:
        threading.Event().wait(0.001)
    target.error = WriteError(ending, "no room")
    target.fault = "it could not be given its name"
    recording.sink.offer(numbered(0, 1))
    assert recording.sink.join(WAIT_S)
    assert recording.sink.ending is stands
    assert recording.sink.message == "no room; it could not be given its name"


def test_a_file_without_room_for_its_head_is_one_without_packets() -> None:
    target = LimitedTarget(100)
    encoder = PcapngEncoder(snaplen_bytes=0, comment="long " * 100, node_name="n")
    recording = Recording(target=target, encoder=encoder)
    recording.sink.offer(numbered(0, 3))
    recording.sink.start()
    assert recording.sink.join(WAIT_S)
    assert recording.sink.ending is Ending.FILE_SIZE
    assert recording.sink.counts.lost_disk.packets == 3
    assert target.content.startswith(b"\x0a\x0d\x0d\x0a")
    assert whole_length(io.BytesIO(target.content)) == len(target.content)
    recording.finish()


def test_what_is_taken_of_a_large_batch_does_not_hold_all_of_it() -> None:
    recording = Recording(queue_bytes_max=1 << 17)
    batch = numbered(0, 1_000, 1_500)
    buffer = weakref.ref(batch.buffer)
    recording.sink.offer(batch)
    del batch
    assert buffer() is None
    recording.finish()
    taken = recording.sink.counts.written.packets
    assert taken == ((1 << 17) - 2_048) // (1_500 + 64)
    assert numbers(recording.contents()) == list(range(taken))


def test_large_batches_are_written_in_pieces() -> None:
    recording = Recording(queue_bytes_max=8 << 20)
    recording.sink.start()
    recording.sink.offer(numbered(0, 4_000, 1_500))
    recording.finish()
    assert numbers(recording.contents()) == list(range(4_000))
    assert recording.target.writes == 1 + 3  # the header, and 6 MB
