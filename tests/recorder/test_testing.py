from __future__ import annotations

import threading

import pytest

from palomar_recorder.ending import Ending, WriteError
from palomar_recorder.testing import START_NS, MemoryTarget, packets_of


def test_packets_have_the_contents_they_are_made_of() -> None:
    packets = packets_of([b"one", b"", b"three"], original_bytes=[3, 60, 5])
    ends = packets.offsets + packets.captured_bytes
    pairs = zip(packets.offsets.tolist(), ends.tolist(), strict=True)
    assert [packets.buffer[a:b].tobytes() for a, b in pairs] == [b"one", b"", b"three"]
    assert packets.times_ns.tolist() == [START_NS, START_NS + 1_000, START_NS + 2_000]
    assert packets.original_bytes.tolist() == [3, 60, 5]


def test_a_memory_target_keeps_what_is_written() -> None:
    target = MemoryTarget()
    target.write([b"ab", b""])
    target.finish([b"c"])
    assert bytes(target.content) == b"abc"
    assert (target.writes, target.is_finished) == (1, True)


def test_a_memory_target_fails_when_told() -> None:
    target = MemoryTarget()
    target.error = WriteError(Ending.QUOTA, "full")
    with pytest.raises(WriteError, match="full"):
        target.write([b"ab"])
    assert not target.content


def test_a_memory_target_waits_until_it_is_open() -> None:
    target = MemoryTarget()
    target.open.clear()
    writer = threading.Thread(target=target.write, args=([b"ab"],))
    writer.start()
    assert target.writes == 0
    target.open.set()
    writer.join()
    assert target.writes == 1
