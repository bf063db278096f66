from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_server.decode.gather import Scratch
from palomar_server.decode.hop_by_hop import HopByHop, read_hop_by_hop
from palomar_server.decode.malformed import Malformed

TCP = 6


def read(*packets: bytes) -> HopByHop:
    """Read the header that each packet starts with."""
    lengths = np.array([len(one) for one in packets], np.int64)
    buffer = Scratch().padded(np.frombuffer(b"".join(packets), np.uint8))
    ends = lengths.cumsum()
    return read_hop_by_hop(buffer, ends - lengths, ends)


def jumbo(length: int, size: int = 4) -> bytes:
    return bytes([TCP, 0, 0xC2, size]) + struct.pack(">I", length)


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        (b"", Malformed.IPV6_EXTENSION_TOO_SHORT),
        (b"\6", Malformed.IPV6_EXTENSION_TOO_SHORT),
        (b"\6\0\1\4\0\0\0", Malformed.IPV6_EXTENSION_TOO_SHORT),
        (b"\6\1" + bytes(13), Malformed.IPV6_EXTENSION_TOO_SHORT),
        (b"\6\0\1\4\0\0\0\0", Malformed.NONE),
        (b"\6\1" + b"\1\14" + bytes(12), Malformed.NONE),
        (b"\6\0\1\50\0\0\0\0", Malformed.IPV6_OPTION),
        (b"\6\0\1\3\0\0\0\5", Malformed.IPV6_OPTION),
        (jumbo(65_535), Malformed.IPV6_JUMBO_LENGTH),
        (jumbo(65_536), Malformed.NONE),
        (jumbo(70_000, 3) + bytes(8), Malformed.IPV6_JUMBO_LENGTH),
        (jumbo(9), Malformed.IPV6_JUMBO_LENGTH),
    ],
)
def test_options_are_held_to_the_rules(header: bytes, fault: Malformed) -> None:
    alone, beside = read(header), read(jumbo(1 << 20), header, b"\6\0\1\4\0\0\0\0")
    assert alone.fault.tolist() == [fault]
    assert beside.fault.tolist() == [0, fault, 0]


def test_a_padding_byte_needs_another_behind_it() -> None:
    # Hubble's decoder has it so: of eight bytes of padding the last is one too few.
    assert read(b"\6\0" + bytes(6)).fault.tolist() == [Malformed.IPV6_OPTION]
    assert read(b"\6\0" + bytes(6) + b"payload").fault.tolist() == [0]


def test_the_protocol_and_the_length_are_told() -> None:
    found = read(b"\x11\0\1\4\0\0\0\0", jumbo(1 << 20), b"\x3a\2\1\24" + bytes(20))
    assert found.protocol.tolist() == [17, TCP, 58]
    assert found.length_bytes.tolist() == [8, 8, 24]
    assert found.jumbo_bytes.tolist() == [0, 1 << 20, 0]


@given(st.lists(st.binary(max_size=64), min_size=1, max_size=5))
def test_many_headers_are_read_as_each_alone(packets: list[bytes]) -> None:
    faults = read(*packets).fault.tolist()
    assert faults == [read(one).fault.item() for one in packets]
