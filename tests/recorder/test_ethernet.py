from __future__ import annotations

import numpy as np

from palomar_recorder.ethernet import made_headers
from palomar_recorder.packets import LINKTYPE_RAW, Interface, Packets


def test_header_has_zero_addresses_and_the_type_of_the_first_byte() -> None:
    first = np.array([0x45, 0x60, 0x00, 0x45], np.uint8)
    captured = np.array([1, 1, 1, 0])
    packets = Packets(
        first,
        np.arange(4),
        captured,
        captured,
        np.zeros(4, np.int64),
        np.zeros(4, np.uint32),
        np.zeros(4, np.uint32),
        (Interface("tun0", LINKTYPE_RAW),),
    )
    kinds = [bytes(row[12:]).hex() for row in made_headers(packets)]
    assert kinds == ["0800", "86dd", "ffff", "ffff"]
    assert not made_headers(packets)[:, :12].any()


def test_empty_packet_at_the_end_of_the_buffer_gets_a_header() -> None:
    nothing = np.zeros(1, np.int64)
    one = np.zeros(1, np.uint32)
    packets = Packets(np.zeros(0, np.uint8), nothing, nothing, nothing, nothing, one, one, ())
    assert made_headers(packets).shape == (1, 14)
