from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from palomar_server.decode.gather import PAD_BYTES, SCRATCH_BYTES_MAX, Scratch, gather
from palomar_server.decode.layouts import LAYOUTS
from palomar_server.decode.link import ETHERNET
from palomar_server.decode.network import IPV4, IPV6
from palomar_server.decode.transport import TRANSPORT

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAIR = np.dtype([("low", "u1"), ("high", ">u2")])


def padded(buffer: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return Scratch().padded(buffer)


def test_structures_are_read_at_any_offset_and_in_any_order() -> None:
    buffer = padded(np.arange(6, dtype=np.uint8))
    found = gather(buffer, np.array([3, 0, 3]), PAIR)
    assert found["low"].tolist() == [3, 0, 3]
    assert found["high"].tolist() == [0x0405, 0x0102, 0x0405]


def test_what_is_behind_the_buffer_reads_as_zero() -> None:
    buffer = padded(np.full(2, 0xFF, np.uint8))
    found = gather(buffer, np.array([0, 1, 2]), PAIR)
    assert found["high"].tolist() == [0xFF00, 0, 0]


def test_what_was_gathered_does_not_change_with_the_buffer() -> None:
    original = np.arange(3, dtype=np.uint8)
    buffer = padded(original)
    found = gather(buffer, np.array([0]), PAIR)
    buffer[:] = 0
    original[:] = 9
    assert found["high"].tolist() == [0x0102]


def test_an_empty_buffer_can_be_read_from() -> None:
    assert gather(padded(np.zeros(0, np.uint8)), np.zeros(0, np.int64), PAIR).size == 0


@pytest.mark.parametrize(
    "dtype", [*(layout.dtype for layout in LAYOUTS), ETHERNET, IPV4, IPV6, TRANSPORT]
)
def test_every_structure_fits_into_the_padding(dtype: np.dtype[np.void]) -> None:
    assert dtype.itemsize <= PAD_BYTES


def test_scratch_memory_is_used_again_for_the_same_use_only() -> None:
    scratch = Scratch()
    first, other = scratch.take("one", 100), scratch.take("other", 100)
    assert not np.shares_memory(first, other)
    assert np.shares_memory(first, scratch.take("one", 50))
    assert len(scratch.take("one", 200)) == 200


def test_scratch_memory_of_giant_batches_is_not_kept() -> None:
    scratch = Scratch()
    giant = scratch.take("one", SCRATCH_BYTES_MAX + 1)
    assert not np.shares_memory(giant, scratch.take("one", 1))


def test_what_an_earlier_batch_left_is_not_seen() -> None:
    scratch = Scratch()
    scratch.padded(np.full(300, 0xFF, np.uint8))
    assert not scratch.padded(np.zeros(10, np.uint8)).any()
