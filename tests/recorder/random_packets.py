"""Packets of any kind, for what writes them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from palomar_recorder.packets import LINKTYPE_ETHERNET, LINKTYPE_RAW, Interface, Packets
from palomar_recorder.records import REFERRED_BYTES

ETHERNET_TABLE = (
    Interface("eth0", LINKTYPE_ETHERNET),
    Interface("", LINKTYPE_ETHERNET),
    Interface("vethä", LINKTYPE_ETHERNET),
)
TABLE = (*ETHERNET_TABLE, Interface("tun0", LINKTYPE_RAW), Interface("", LINKTYPE_RAW))
NOTES = ("", "default/web → default/db · to-endpoint · FORWARDED", "a", "ab", "two\nlines")
LAST_NS = (1 << 32) * 1_000_000_000 - 1

_LENGTHS = st.one_of(
    st.integers(0, 70),
    st.sampled_from((127, 128, 129, 1514, REFERRED_BYTES, 3 * REFERRED_BYTES, 65_000)),
)


@st.composite
def batches(
    draw: st.DrawFn,
    table: tuple[Interface, ...] = TABLE,
    *,
    least: int = 0,
    snaplen_bytes: int = 65_535,
) -> Packets:
    """Packets in a buffer with something between them, in any order there, some overlapping."""
    captured = draw(st.lists(_LENGTHS, min_size=least, max_size=12))
    captured = [min(length, snaplen_bytes) for length in captured]
    count = len(captured)
    size = sum(captured) + draw(st.integers(0, 40))
    random = np.random.default_rng(draw(st.integers(0, 1_000)))
    offsets = [draw(st.integers(0, size - length)) for length in captured]

    def column(element: st.SearchStrategy[int], dtype: type[np.generic]) -> np.ndarray:
        values = draw(st.lists(element, min_size=count, max_size=count))
        return np.array(values, dtype)

    return Packets(
        random.integers(0, 256, size, np.uint8),
        np.array(offsets, np.int64),
        np.array(captured, np.int64),
        np.array(captured, np.int64) + column(st.integers(0, 5), np.int64),
        column(st.integers(0, LAST_NS), np.int64),
        column(st.integers(0, len(table) - 1), np.uint32),
        column(st.integers(0, len(NOTES) - 1), np.uint32),
        table,
        NOTES,
    )


def contents(packets: Packets) -> list[bytes]:
    """The captured bytes of each."""
    ends = packets.offsets + packets.captured_bytes
    return [
        packets.buffer[a:b].tobytes()
        for a, b in zip(packets.offsets.tolist(), ends.tolist(), strict=True)
    ]


def uniform(count: int, captured_bytes: int, linktype: int = LINKTYPE_ETHERNET) -> Packets:
    """So many equally long IPv4 packets of one interface, a microsecond apart."""
    packet = bytearray(captured_bytes)
    at = 14 if linktype == LINKTYPE_ETHERNET else 0
    packet[at : at + 20] = bytes.fromhex("4500001c000000004011000a0a0000010a000002")
    packet[at + 20 : at + 28] = bytes.fromhex("0bb8003500080000")
    if at:
        packet[12:14] = b"\x08\x00"
    return Packets(
        np.frombuffer(bytes(packet) * count, np.uint8),
        np.arange(count, dtype=np.int64) * captured_bytes,
        np.full(count, captured_bytes, np.int64),
        np.full(count, captured_bytes, np.int64),
        1_700_000_000_123_456_789 + np.arange(count, dtype=np.int64) * 1_000,
        np.zeros(count, np.uint32),
        np.zeros(count, np.uint32),
        (Interface("eth0", linktype),),
    )
