from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar_recorder.counts import Counts
from palomar_recorder.pcap import PcapEncoder
from palomar_recorder.pcapng import PcapngEncoder
from palomar_recorder.testing import START_NS, packets_of
from palomar_recorder.whole_length import whole_length

CONTENTS = st.lists(st.binary(max_size=200), max_size=12)


def encoded(encoder: PcapEncoder | PcapngEncoder, contents: list[bytes]) -> tuple[bytes, list[int]]:
    """A file, and the places where a packet ends in it."""
    data = b"".join(bytes(piece) for piece in encoder.begin())
    ends = [len(data)]
    for content in contents:
        pieces = encoder.encode(packets_of([content]))
        data += b"".join(bytes(piece) for piece in pieces)
        ends.append(len(data))
    return data, ends


@given(CONTENTS, st.data())
def test_a_pcap_is_whole_up_to_its_last_whole_packet(
    contents: list[bytes], data: st.DataObject
) -> None:
    file, ends = encoded(PcapEncoder(snaplen_bytes=0), contents)
    cut = data.draw(st.integers(0, len(file)))
    expected = max((end for end in ends if end <= cut), default=0)
    assert whole_length(io.BytesIO(file[:cut])) == expected


@given(CONTENTS, st.data())
def test_a_pcapng_is_whole_up_to_its_last_whole_block(
    contents: list[bytes], data: st.DataObject
) -> None:
    encoder = PcapngEncoder(snaplen_bytes=0, comment="a", node_name="n")
    file, ends = encoded(encoder, contents)
    file += b"".join(bytes(piece) for piece in encoder.end(Counts(), START_NS))
    cut = data.draw(st.integers(0, len(file)))
    whole = whole_length(io.BytesIO(file[:cut]))
    # Blocks other than packets end in between.
    assert max((end for end in ends if end <= cut), default=0) <= whole <= cut
    assert whole_length(io.BytesIO(file[:whole])) == whole
    assert whole_length(io.BytesIO(file)) == len(file)


def test_packets_across_pieces_that_are_read_are_followed() -> None:
    file, _ = encoded(PcapEncoder(snaplen_bytes=0), [bytes([7]) * 65_000] * 40)
    assert whole_length(io.BytesIO(file)) == len(file)
    assert whole_length(io.BytesIO(file + bytes([1]) * 20)) == len(file)


def test_the_other_byte_order_is_read() -> None:
    header = struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
    record = struct.pack(">IIII", 1, 2, 3, 3) + b"abc"
    assert whole_length(io.BytesIO(header + record + record[:-1])) == len(header + record)


@pytest.mark.parametrize("content", [b"", b"x", bytes(1_000), b"no capture file" * 10])
def test_nothing_of_what_is_no_capture_file_is_whole(content: bytes) -> None:
    assert whole_length(io.BytesIO(content)) == 0


def test_zeros_behind_the_last_packet_are_not_packets() -> None:
    file, _ = encoded(PcapEncoder(snaplen_bytes=0), [b"abc"])
    assert whole_length(io.BytesIO(file + bytes(4_096))) == len(file)


def test_a_length_that_cannot_be_is_not_followed() -> None:
    file, _ = encoded(PcapEncoder(snaplen_bytes=0), [b"abc"])
    damaged = file + struct.pack("=IIII", 1, 2, 0xFFFFFFFF, 3) + bytes(100)
    assert whole_length(io.BytesIO(damaged)) == len(file)


@given(st.binary(max_size=300))
def test_any_content_has_a_whole_length(content: bytes) -> None:
    assert 0 <= whole_length(io.BytesIO(content)) <= len(content)
