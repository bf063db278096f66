"""The flight recorder has the last packets, cut, in the order of their times."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.packet_batch import pack_rules
from palomar_server.recording.flight_recorder import FlightRecorder
from palomar_server.recording.packet_heads import HEAD_BYTES_MAX, HeadReader
from palomar_server.recording.testing import dropped, recorded

CELL_BYTES = HEAD_BYTES_MAX + 64 + 32


def recorder(packets: int) -> FlightRecorder:
    return FlightRecorder(packets * CELL_BYTES, 64)


def add(flight: FlightRecorder, *payloads: bytes, offset_ns: int = 0) -> None:
    rules = pack_rules([[0]] * len(payloads))
    batch = PayloadBatch.of(payloads, received_ns=0)
    flight.add(HeadReader(lambda: {7: "eth0"}, lambda: offset_ns).read(batch, rules))


def contents(flight: FlightRecorder, since_ns: int = 0, most: int = 1 << 20) -> list[bytes]:
    heads = flight.since(since_ns, most)
    assert not np.count_nonzero(heads.times_ns[1:] < heads.times_ns[:-1])
    return [
        heads.buffer[start : start + length].tobytes()
        for start, length in zip(heads.starts, heads.captured_bytes, strict=True)
    ]


@given(st.integers(1, 9), st.lists(st.lists(st.binary(max_size=70), max_size=12), max_size=6))
def test_it_has_the_last_packets_that_fit(capacity: int, pieces: list[list[bytes]]) -> None:
    flight = recorder(capacity)
    everything: list[bytes] = []
    for piece in pieces:
        first = len(everything)
        add(flight, *(recorded(one, time_ns=first + at) for at, one in enumerate(piece)))
        everything += piece
    assert contents(flight) == [one[:64] for one in everything[-capacity:]]
    assert len(flight) == min(capacity, len(everything))


def test_what_is_older_or_too_many_is_left_out() -> None:
    flight = recorder(10)
    add(flight, *(recorded(bytes([time_ns]), time_ns=time_ns) for time_ns in (1, 2, 3, 4)))
    assert contents(flight, since_ns=2) == [b"\2", b"\3", b"\4"]
    assert contents(flight, most=2) == [b"\3", b"\4"]
    assert contents(recorder(3)) == []


def test_times_are_those_of_the_clock_as_it_is_set_now() -> None:
    flight = recorder(10)
    for offset_ns, time_ns in ((1_000, 1), (500, 2)):
        add(flight, recorded(b"a", time_ns=time_ns), offset_ns=offset_ns)
    assert flight.since(0, 10, 500).times_ns.tolist() == [501, 502]
    assert flight.since(502, 10, 500).times_ns.tolist() == [502]


def test_a_packet_that_was_read_late_comes_in_its_place() -> None:
    flight = recorder(10)
    add(flight, recorded(b"b", time_ns=2))
    add(flight, recorded(b"a", time_ns=1))
    assert contents(flight) == [b"a", b"b"]


def test_lengths_and_interfaces_are_those_of_the_packets() -> None:
    flight = recorder(10)
    add(flight, recorded(bytes(100), ifindex=7, original_bytes=900))
    add(flight, dropped(b"", interface="veth1", time_ns=1 << 62))
    heads = flight.since(0, 10)
    assert heads.original_bytes.tolist() == [900, 0]
    assert heads.captured_bytes.tolist() == [64, 0]
    names = [heads.interface_table[index].name for index in heads.interfaces.tolist()]
    assert names == ["eth0", "veth1"]
