"""The reader against the kernel: a seven-instruction tc program emits what a test asks for."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest

from palomar_bpf import bpf_call
from palomar_bpf.perf_event import fence, online_cpus
from palomar_bpf.reader import PerfReader

if TYPE_CHECKING:
    from collections.abc import Iterator

PROG_TYPE_SCHED_CLS = 3
MAP_TYPE_PERF_EVENT_ARRAY = 4
MAP_CREATE, PROG_LOAD, PROG_TEST_RUN = 0, 5, 10
CALL_PERF_EVENT_OUTPUT = 25
MARK = 0x5041_4C4F


def instruction(code: int, registers: int, offset: int, immediate: int) -> bytes:
    return struct.pack("=BBhi", code, registers, offset, immediate)


class Emitter:
    """A perf event array and a program that emits MARK and packet bytes on the caller's CPU."""

    def __init__(self) -> None:
        self.map_fd = bpf_call._bpf(
            MAP_CREATE,
            "map for the test",
            struct.pack("=IIII", MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, bpf_call.possible_cpus()),
        )
        self._programs: dict[int, int] = {}

    def close(self) -> None:
        for fd in (self.map_fd, *self._programs.values()):
            os.close(fd)

    def emit(self, packet: bytes, times: int = 1) -> int:
        """Run the program and return what the last bpf_perf_event_output() returned."""
        if len(packet) not in self._programs:
            self._programs[len(packet)] = self._load(len(packet))
        held = ctypes.create_string_buffer(packet, len(packet))
        attributes = struct.pack(
            "=IIIIQQII",
            self._programs[len(packet)], 0, len(packet), 0, ctypes.addressof(held), 0, times, 0,
        )  # fmt: skip
        reply = ctypes.create_string_buffer(attributes, len(attributes))
        result = bpf_call._libc.syscall(
            ctypes.c_long(bpf_call._number), PROG_TEST_RUN, reply, len(attributes)
        )
        assert result == 0, os.strerror(ctypes.get_errno())
        returned: int = struct.unpack_from("=i", reply.raw, 4)[0]
        return returned

    def _load(self, packet_bytes: int) -> int:
        code = b"".join(
            [
                instruction(0x7A, 0x0A, -8, MARK),  # *(u64 *)(r10 - 8) = MARK
                instruction(0x18, 0x12, 0, self.map_fd),  # r2 = the map
                instruction(0, 0, 0, 0),
                instruction(0x18, 0x03, 0, -1),  # r3 = this CPU, and so many packet bytes
                instruction(0, 0, 0, packet_bytes),
                instruction(0xBF, 0xA4, 0, 0),  # r4 = r10
                instruction(0x07, 0x04, 0, -8),  # r4 -= 8
                instruction(0xB7, 0x05, 0, 8),  # r5 = 8
                instruction(0x85, 0, 0, CALL_PERF_EVENT_OUTPUT),
                instruction(0x95, 0, 0, 0),  # return
            ]
        )
        held = ctypes.create_string_buffer(code, len(code))
        license_ = ctypes.create_string_buffer(b"GPL")
        return bpf_call._bpf(
            PROG_LOAD,
            "program of the test",
            struct.pack(
                "=IIQQ",
                PROG_TYPE_SCHED_CLS,
                len(code) // 8,
                ctypes.addressof(held),
                ctypes.addressof(license_),
            ),
        )


@pytest.fixture
def emitter(live: None) -> Iterator[Emitter]:
    made = Emitter()
    yield made
    made.close()


@pytest.fixture
def reader(emitter: Emitter) -> Iterator[PerfReader]:
    made = PerfReader(emitter.map_fd, pages_per_cpu=4)
    yield made
    made.close()


def on_cpu(cpu: int) -> None:
    """Let this thread run on one CPU only."""
    os.sched_setaffinity(0, {cpu})


@pytest.fixture(autouse=True)
def affinity() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, before)


def flood(emitter: Emitter, reader: PerfReader) -> None:
    """Keep the node busy for a while, all of it read."""
    for _ in range(10):
        emitter.emit(bytes(64), times=10)
        assert reader.read(1.0) is not None


@pytest.mark.parametrize("pages", [0, 3, -4])
def test_pages_that_are_no_power_of_two_are_refused(pages: int) -> None:
    with pytest.raises(ValueError, match=f"pages_per_cpu must be a power of two, not {pages}"):
        PerfReader(0, pages_per_cpu=pages)


def test_a_negative_pause_is_refused() -> None:
    with pytest.raises(ValueError, match="coalesce_max_s"):
        PerfReader(0, coalesce_max_s=-1.0)


def test_the_fence_is_harmless_anywhere() -> None:
    fence()


@pytest.mark.live
def test_an_event_comes_out_as_it_went_in(emitter: Emitter, reader: PerfReader) -> None:
    packet = os.urandom(101)
    emitter.emit(packet)
    batch = reader.read(1.0)
    assert batch is not None
    payload = batch.payload(0)
    assert payload[:8] == struct.pack("=Q", MARK)
    assert payload[8:109] == packet
    assert len(payload) == 116  # A record of 128 bytes, less 12.
    assert abs(batch.received_ns - time.time_ns()) < 10**10


@pytest.mark.live
def test_events_of_all_cpus_come_in_one_batch(emitter: Emitter, reader: PerfReader) -> None:
    for cpu in online_cpus():
        on_cpu(cpu)
        emitter.emit(bytes([cpu]) * 64, times=3)
    batch = reader.read(1.0)
    assert batch is not None
    assert batch.cpus.tolist() == [cpu for cpu in online_cpus() for _ in range(3)]
    assert [batch.payload(row)[8] for row in range(len(batch))] == batch.cpus.tolist()


@pytest.mark.live
def test_packets_of_nearly_a_page_come_through_whole(emitter: Emitter, reader: PerfReader) -> None:
    packet = os.urandom(3500)
    for _ in range(20):
        assert emitter.emit(packet, times=3) == 0
        batch = reader.read(1.0)
        assert batch is not None
        assert [batch.payload(row)[8:3508] for row in range(len(batch))] == [packet] * 3


@pytest.mark.live
def test_order_holds_through_many_turns_of_the_ring(emitter: Emitter, reader: PerfReader) -> None:
    on_cpu(online_cpus()[0])
    got: list[int] = []
    for number in range(2000):
        emitter.emit(struct.pack("=Q", number) + bytes(number % 300 + 6))
        if number % 20 == 19:
            batch = reader.read(1.0)
            assert batch is not None
            got += [struct.unpack_from("=Q", batch.payload(row), 8)[0] for row in range(len(batch))]
    assert got == list(range(2000))


@pytest.mark.live
def test_a_full_ring_refuses_and_the_reader_hints_at_it(
    emitter: Emitter, reader: PerfReader
) -> None:
    on_cpu(online_cpus()[0])
    results = [emitter.emit(bytes(212)) for _ in range(100)]
    fitted = results.count(0)
    assert 0 < fitted < 100
    first = reader.read(1.0)
    assert not reader.loss_hint
    emitter.emit(bytes(212))
    second = reader.read(1.0)
    assert first is not None
    assert second is not None
    assert len(first) == fitted
    assert len(second) == 1
    assert reader.loss_hint


@pytest.mark.live
def test_nothing_to_read_gives_nothing_when_the_time_is_up(reader: PerfReader) -> None:
    assert reader.read(0.0) is None
    assert reader.read(0.01) is None


@pytest.mark.live
def test_wake_ends_a_read_without_a_time_limit(reader: PerfReader) -> None:
    timer = threading.Timer(0.05, reader.wake)
    timer.start()
    assert reader.read(None) is None
    assert reader.woken
    timer.join()
    assert reader.read(0.0) is None
    assert not reader.woken


@pytest.mark.live
def test_a_wake_before_the_read_is_not_lost(reader: PerfReader) -> None:
    reader.wake()
    reader.wake()
    assert reader.read(None) is None
    assert reader.read(0.0) is None


@pytest.mark.live
def test_an_idle_reader_never_wakes(emitter: Emitter, reader: PerfReader) -> None:
    flood(emitter, reader)
    while reader.read(0.2) is not None:
        pass
    before = resource.getrusage(resource.RUSAGE_THREAD)
    assert reader.read(0.3) is None
    after = resource.getrusage(resource.RUSAGE_THREAD)
    assert after.ru_nvcsw - before.ru_nvcsw <= 2


@pytest.mark.live
def test_announcements_stop_while_the_node_is_busy_and_come_back(
    emitter: Emitter, reader: PerfReader
) -> None:
    flood(emitter, reader)
    assert not reader._announced
    while reader.read(0.2) is not None:
        pass
    assert reader._announced
    emitter.emit(bytes(64))
    assert reader.read(None) is not None


@pytest.mark.live
def test_events_from_the_silent_time_are_read_when_it_ends(
    emitter: Emitter, reader: PerfReader
) -> None:
    flood(emitter, reader)
    emitter.emit(bytes(64))
    reader._pacer.calm()  # The last pause is over; this event came just behind it.
    assert reader.read(None) is not None
    assert reader._announced


@pytest.mark.live
def test_a_closed_reader_leaves_no_slot_in_the_map(emitter: Emitter, reader: PerfReader) -> None:
    assert emitter.emit(bytes(64)) == 0
    reader.close()
    reader.close()
    assert emitter.emit(bytes(64)) < 0


@pytest.mark.live
def test_events_keep_coming_while_the_node_is_busy(emitter: Emitter, reader: PerfReader) -> None:
    """Paused reads lose nothing as long as the ring is large enough for the rate."""
    wanted = 3000

    def produce() -> None:
        for number in range(wanted):
            emitter.emit(struct.pack("=Q", number) + bytes(48))
            if number % 10 == 9:
                time.sleep(0.001)

    producer = threading.Thread(target=produce)
    producer.start()
    got: list[int] = []
    batches = 0
    while len(got) < wanted:
        batch = reader.read(5.0)
        assert batch is not None
        batches += 1
        got += [struct.unpack_from("=Q", batch.payload(row), 8)[0] for row in range(len(batch))]
    producer.join()
    assert sorted(got) == list(range(wanted))
    assert batches < wanted / 10


def test_how_long_events_gather_can_be_changed_while_reading(
    emitter: Emitter, reader: PerfReader
) -> None:
    reader.coalesce(0.0)
    flood(emitter, reader)
    with pytest.raises(ValueError, match="coalesce_max_s"):
        reader.coalesce(-1.0)
