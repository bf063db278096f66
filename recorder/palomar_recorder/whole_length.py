"""How much of a capture file is whole, when its writer died in the middle of a packet.

Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK_BYTES = 1 << 20
_PCAP_HEADER_BYTES = 24
_RECORD_HEADER_BYTES = 16
_BLOCK_BYTES_MIN = 12
# Nothing that is written here comes near; what claims more is not the length of anything.
_PIECE_BYTES_MAX = 1 << 24
_PCAP_MAGICS = (0xA1B2C3D4, 0xA1B23C4D)
_SECTION_HEADER = 0x0A0D0D0A
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_NOTHING = bytes(_RECORD_HEADER_BYTES)


def whole_length(file: BinaryIO) -> int:
    """Bytes from the file's begin on that are header and whole packets.

    Args:
        file: pcap or pcapng, in either byte order, one section; read from its begin.

    Returns:
        Length to cut it to; 0 where not even the header is whole, or it is no capture file.

    Raises:
        OSError: it cannot be read.
    """
    file.seek(0)
    head = file.read(_PCAP_HEADER_BYTES)
    for order in ("<", ">"):
        if len(head) < _PCAP_HEADER_BYTES:
            break
        if struct.unpack_from(f"{order}I", head)[0] in _PCAP_MAGICS:
            return _walk(file, _PCAP_HEADER_BYTES, _RECORD_HEADER_BYTES, _record_length(order))
        kind, _, magic = struct.unpack_from(f"{order}III", head)
        if kind == _SECTION_HEADER and magic == _BYTE_ORDER_MAGIC:
            return _walk(file, 0, _BLOCK_BYTES_MIN, _block_length(order))
    return 0


def _walk(file: BinaryIO, start: int, least: int, length_at: Callable[[bytes, int], int]) -> int:
    """Go from piece to piece as long as they are whole.

    Args:
        file: to be read.
        start: of the first piece.
        least: bytes of the shortest piece, in which its length stands.
        length_at: length of the piece at some place; 0 if there is none, negative if that cannot
            be told before so many bytes are there.
    """
    file.seek(start)
    data, at, base = b"", 0, start
    wanted = least
    while True:
        while len(data) - at >= wanted:
            length = length_at(data, at)
            if length == 0 or length > _PIECE_BYTES_MAX or -length > _PIECE_BYTES_MAX:
                return base + at
            if length < 0 or len(data) - at < length:
                wanted = abs(length)
                break
            at += length
            wanted = least
        more = file.read(_CHUNK_BYTES)
        if not more:
            return base + at
        data, base, at = data[at:] + more, base + at, 0


def _record_length(order: str) -> Callable[[bytes, int], int]:
    captured = struct.Struct(f"{order}8xI")

    def length(data: bytes, at: int) -> int:
        size = int(captured.unpack_from(data, at)[0])
        # After a crash of the machine there may be zeros where data were never written.
        if size == 0 and data[at : at + _RECORD_HEADER_BYTES] == _NOTHING:
            return 0
        return _RECORD_HEADER_BYTES + size

    return length


def _block_length(order: str) -> Callable[[bytes, int], int]:
    head = struct.Struct(f"{order}4xI")
    tail = struct.Struct(f"{order}I")

    def length(data: bytes, at: int) -> int:
        size = int(head.unpack_from(data, at)[0])
        if size < _BLOCK_BYTES_MIN or size % 4:
            return 0
        if len(data) - at < size:
            return -size
        # Its length stands at both ends of a block.
        return size if tail.unpack_from(data, at + size - 4)[0] == size else 0

    return length
