from __future__ import annotations

import numpy as np
import pytest

from palomar_server.decode.gather import PAD_BYTES, gather, padded
from palomar_server.decode.heads import LAYOUTS
from palomar_server.decode.packet import ETHERNET, IPV4, IPV6, TRANSPORT

PAIR = np.dtype([("low", "u1"), ("high", ">u2")])


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


@pytest.mark.parametrize("dtype", [*LAYOUTS.values(), ETHERNET, IPV4, IPV6, TRANSPORT])
def test_every_structure_fits_into_the_padding(dtype: np.dtype[np.void]) -> None:
    assert dtype.itemsize <= PAD_BYTES
