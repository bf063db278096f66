from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_recorder.records import REFERRED_BYTES, Records, copy_cuttings, windows
from tests.recorder.random_packets import batches, contents, uniform

if TYPE_CHECKING:
    from palomar_recorder.packets import Packets


def test_windows_are_all_stretches_of_a_length() -> None:
    found = windows(np.arange(5, dtype=np.uint8), 3)
    assert [bytes(one) for one in found] == [b"\0\1\2", b"\1\2\3", b"\2\3\4"]
    assert len(windows(np.zeros(2, np.uint8), 3)) == 0


@given(st.lists(st.integers(0, 300)), st.data())
def test_cuttings_of_any_length_are_copied_and_nothing_beside_them(
    lengths: list[int], data: st.DataObject
) -> None:
    source = np.random.default_rng(len(lengths)).integers(1, 256, 300, np.uint8)
    sizes = np.array(lengths, np.int64)
    offsets = np.array([data.draw(st.integers(0, 300 - one)) for one in lengths], np.int64)
    gaps = np.array([data.draw(st.integers(0, 2)) for _ in lengths], np.int64)
    places = np.cumsum(sizes + gaps) - sizes
    target = np.zeros(int((sizes + gaps).sum()) + 2, np.uint8)
    wanted = target.copy()
    for place, offset, size in zip(places, offsets, sizes, strict=True):
        wanted[place : place + size] = source[offset : offset + size]
    copy_cuttings(target, places, source, offsets, sizes)
    assert target.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("captured_bytes", [1, 1_500, REFERRED_BYTES - 1])
def test_many_of_one_length_are_copied(captured_bytes: int) -> None:
    packets = uniform(600, max(captured_bytes, 60)).cut(captured_bytes)
    records = Records(packets, 1)
    records.put(records.heads, np.full((1, 1), 0xEE, np.uint8))
    (written,) = records.buffers()
    assert bytes(written) == b"".join(b"\xee" + one for one in contents(packets))


@given(batches(least=1), st.data())
def test_records_are_heads_packets_and_tails_in_order(
    packets: Packets, data: st.DataObject
) -> None:
    count = len(packets)
    tails = np.array(data.draw(st.lists(st.integers(0, 9), min_size=count, max_size=count)))
    records = Records(packets, 4, tails)
    records.put(records.heads, np.arange(count, dtype=np.uint32)[:, None])
    records.put_cuttings(
        records.tails,
        np.full(9, 7, np.uint8),
        np.zeros(count, np.int64),
        records.ends - records.tails,
    )
    written = b"".join(map(bytes, records.buffers()))
    wanted = [
        np.uint32(index).tobytes() + content + b"\7" * int(tail)
        for index, (content, tail) in enumerate(zip(contents(packets), tails, strict=True))
    ]
    assert written == b"".join(wanted)


def test_long_packets_are_referred_to_and_not_copied() -> None:
    packets = uniform(3, REFERRED_BYTES)
    records = Records(packets, 2)
    records.put(records.heads, np.zeros((1, 2), np.uint8))
    pieces = records.buffers()
    assert [len(one) for one in pieces] == [
        2,
        REFERRED_BYTES,
        2,
        REFERRED_BYTES,
        2,
        REFERRED_BYTES,
        0,
    ]
    assert np.shares_memory(np.frombuffer(pieces[1], np.uint8), packets.buffer)
