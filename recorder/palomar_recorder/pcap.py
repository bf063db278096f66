"""The classic capture file, which every tool reads (draft-ietf-opsawg-pcap; pcap-savefile(5))."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from palomar_recorder.ethernet import HEADER_BYTES, made_headers
from palomar_recorder.packets import LINKTYPE_ETHERNET
from palomar_recorder.records import Records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from palomar_recorder.counts import Counts
    from palomar_recorder.encoder import Buffer
    from palomar_recorder.packets import Packets

MAGIC_MICROSECONDS = 0xA1B2C3D4
MAGIC_NANOSECONDS = 0xA1B23C4D
FILE_HEADER_BYTES = 24
RECORD_HEADER_BYTES = 16
SNAPLEN_BYTES_DEFAULT = 65_535
"""What the file says where packets are not cut."""
_VERSION = (2, 4)


class PcapEncoder:
    """Makes a file of linktype Ethernet, in this machine's byte order. Its times end in 2106.

    The format has one linktype for all. Packets of interfaces without Ethernet get a header with
    zero addresses put in front, and count 14 bytes more in the file: in their original length, and
    in their captured one as far as the snaplen goes.

    Args:
        snaplen_bytes: what packets were cut to; 0 for not at all.
        nanoseconds: write times so, else in microseconds as older tools want them.
    """

    suffix = ".pcap"

    def __init__(self, *, snaplen_bytes: int, nanoseconds: bool = True) -> None:
        self._snaplen_bytes = snaplen_bytes or SNAPLEN_BYTES_DEFAULT
        self._nanoseconds = nanoseconds

    def begin(self) -> Sequence[Buffer]:
        """The file's header."""
        magic = MAGIC_NANOSECONDS if self._nanoseconds else MAGIC_MICROSECONDS
        header = np.zeros(FILE_HEADER_BYTES // 4, np.uint32)
        header[0] = magic
        header[1:2].view(np.uint16)[:] = _VERSION
        header[4:] = self._snaplen_bytes, LINKTYPE_ETHERNET
        return [header.tobytes()]

    def encode(self, packets: Packets) -> Sequence[Buffer]:
        """A header of 16 bytes and the packet, for each."""
        if not len(packets):
            return []
        bare = np.array([one.linktype != LINKTYPE_ETHERNET for one in packets.interface_table])
        if bare.any():
            rows = np.flatnonzero(bare[packets.interfaces])
            if len(rows):
                return self._encode_with_bare(packets, rows)
        records = Records(packets, RECORD_HEADER_BYTES)
        records.put(records.heads, self._heads(packets))
        return records.buffers()

    def undo(self) -> None:
        """Nothing refers to packets before."""

    def end(self, counts: Counts, ended_ns: int) -> Sequence[Buffer]:  # noqa: ARG002 - the format has no place for it
        """Nothing stands there."""
        return []

    def _heads(self, packets: Packets) -> NDArray[np.uint32]:
        heads = np.empty((len(packets), 4), np.uint32)
        seconds, nanoseconds = np.divmod(packets.times_ns, 1_000_000_000)
        heads[:, 0] = seconds
        heads[:, 1] = nanoseconds if self._nanoseconds else nanoseconds // 1_000
        heads[:, 2] = packets.captured_bytes
        heads[:, 3] = packets.original_bytes
        return heads

    def _encode_with_bare(self, packets: Packets, rows: NDArray[np.intp]) -> Sequence[Buffer]:
        header_bytes = min(HEADER_BYTES, self._snaplen_bytes)
        captured, original = packets.captured_bytes.copy(), packets.original_bytes.copy()
        captured[rows] = np.minimum(captured[rows], self._snaplen_bytes - header_bytes)
        records = Records(
            dataclasses.replace(packets, captured_bytes=captured),
            RECORD_HEADER_BYTES + self._made_bytes(len(packets), rows, header_bytes),
        )
        captured = captured + self._made_bytes(len(packets), rows, header_bytes)
        original[rows] += HEADER_BYTES
        told = dataclasses.replace(packets, captured_bytes=captured, original_bytes=original)
        records.put(records.heads, self._heads(told))
        made = made_headers(packets.take(rows))[:, :header_bytes]
        records.put(records.heads[rows] + RECORD_HEADER_BYTES, np.ascontiguousarray(made))
        return records.buffers()

    @staticmethod
    def _made_bytes(packets: int, rows: NDArray[np.intp], header_bytes: int) -> NDArray[np.int64]:
        made = np.zeros(packets, np.int64)
        made[rows] = header_bytes
        return made
