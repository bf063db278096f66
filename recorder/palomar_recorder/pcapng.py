"""The capture file with interfaces, comments and counts (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import platform
import time
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from palomar_recorder import pcapng_blocks as blocks
from palomar_recorder.packets import LINKTYPE_ETHERNET, Interface
from palomar_recorder.records import Records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from palomar_recorder.counts import Counts, PacketCount
    from palomar_recorder.encoder import Buffer
    from palomar_recorder.packets import Packets

INTERFACES_MAX = 65_536
"""Of a file; packets of further ones are written as of one without a name, for each linktype."""
NOTE_BYTES_MAX = 1_024
"""What is longer is cut."""
_HEAD_BYTES = 28
_TRAILER_BYTES = 4


class PcapngEncoder:
    """Makes a file of one section, in this machine's byte order.

    An interface stands before its first packet. Statistics stand at the end, for each interface;
    what was lost is known of the whole recording only, so it is in the comment of the first, and
    in the fields made for it where there is but one interface. Wireshark's tools read files with
    interfaces of different linktypes; libpcap's, as tcpdump, refuse those.

    Args:
        snaplen_bytes: what packets were cut to; 0 for not at all.
        comment: what was recorded, for the reader; goes with the node's name into the header.
        node_name: where.
    """

    suffix = ".pcapng"

    def __init__(self, *, snaplen_bytes: int, comment: str, node_name: str) -> None:
        self._snaplen_bytes = snaplen_bytes
        self._comment = "\n".join(filter(None, (f"node: {node_name}", comment)))
        self._numbers: dict[Interface, int] = {}
        self._packets = np.zeros(0, np.int64)
        self._packets_before = self._packets
        self._started_ns = 0

    def begin(self) -> Sequence[Buffer]:
        """The section header."""
        self._started_ns = time.time_ns()
        options = (
            blocks.text_option(blocks.OPT_COMMENT, self._comment),
            blocks.text_option(blocks.SHB_HARDWARE, platform.machine()),
            blocks.text_option(blocks.SHB_OS, f"{platform.system()} {platform.release()}"),
            blocks.text_option(blocks.SHB_USER_APPLICATION, f"palomar {version('palomar')}"),
        )
        return [blocks.section_header(options)]

    def encode(self, packets: Packets) -> Sequence[Buffer]:
        """A block for each packet, with its note as comment; interfaces that are new before."""
        self._packets_before = self._packets.copy()
        if not len(packets):
            return []
        descriptions, numbers = self._interfaces(packets)
        texts, places, lengths = _comments(packets)
        padding = -packets.captured_bytes % 4
        records = Records(packets, _HEAD_BYTES, padding + lengths + _TRAILER_BYTES)
        sizes = _HEAD_BYTES + packets.captured_bytes + padding + lengths + _TRAILER_BYTES
        heads = np.empty((len(packets), 7), np.uint32)
        heads[:, 0] = blocks.ENHANCED_PACKET
        heads[:, 1] = sizes
        heads[:, 2] = numbers
        heads[:, 3] = packets.times_ns >> 32
        heads[:, 4] = packets.times_ns & 0xFFFF_FFFF
        heads[:, 5] = packets.captured_bytes
        heads[:, 6] = packets.original_bytes
        records.put(records.heads, heads)
        # Four zeros may go beyond the padding, but not beyond the trailer, which comes later.
        records.put(records.tails, np.zeros((1, 1), np.uint32))
        if len(texts):
            records.put_cuttings(records.tails + padding, texts, places, lengths)
        trailers = heads[:, 1:2].copy()
        records.put(records.ends - _TRAILER_BYTES, trailers)
        self._packets += np.bincount(numbers, minlength=len(self._packets))
        return [*descriptions, *records.buffers()]

    def undo(self) -> None:
        """See `Encoder.undo`; interfaces that were new are so again."""
        self._packets = self._packets_before
        known = list(self._numbers)[: len(self._packets)]
        self._numbers = {interface: number for number, interface in enumerate(known)}

    def end(self, counts: Counts, ended_ns: int) -> Sequence[Buffer]:
        """Statistics of all interfaces; a nameless one if there is none, as tools want one."""
        descriptions: list[bytes] = []
        if not self._numbers:
            descriptions = self._add(Interface("", LINKTYPE_ETHERNET))
        return [
            *descriptions,
            *(
                blocks.interface_statistics(
                    number, ended_ns, self._statistics(number, counts, ended_ns)
                )
                for number in range(len(self._numbers))
            ),
        ]

    def _statistics(self, number: int, counts: Counts, ended_ns: int) -> list[bytes]:
        options = [
            blocks.time_option(blocks.ISB_STARTTIME, self._started_ns),
            blocks.time_option(blocks.ISB_ENDTIME, ended_ns),
        ]
        if not number:
            text = _summary(counts)
            if len(self._numbers) > 1:
                text = f"all interfaces together\n{text}"
            options.insert(0, blocks.text_option(blocks.OPT_COMMENT, text))
        if len(self._numbers) == 1:
            lost = counts.lost_perf_ring.packets
            options += [
                blocks.number_option(blocks.ISB_FILTERACCEPT, counts.captured.packets + lost),
                blocks.number_option(blocks.ISB_OSDROP, lost),
            ]
        delivered = int(self._packets[number])
        return [*options, blocks.number_option(blocks.ISB_USRDELIV, delivered)]

    def _interfaces(self, packets: Packets) -> tuple[list[bytes], NDArray[np.int64]]:
        """Blocks of the new ones, and each packet's number."""
        table = packets.interface_table
        numbers = np.zeros(len(table), np.int64)
        descriptions: list[bytes] = []
        seen = np.bincount(packets.interfaces, minlength=len(table))
        for index in np.flatnonzero(seen).tolist():
            interface = table[index]
            if interface not in self._numbers and len(self._numbers) >= INTERFACES_MAX:
                interface = Interface("", interface.linktype)
            if interface not in self._numbers:
                descriptions += self._add(interface)
            numbers[index] = self._numbers[interface]
        return descriptions, numbers[packets.interfaces]

    def _add(self, interface: Interface) -> list[bytes]:
        self._numbers[interface] = len(self._numbers)
        self._packets = np.append(self._packets, 0)
        return [
            blocks.interface_description(interface.name, interface.linktype, self._snaplen_bytes)
        ]


def _comments(
    packets: Packets,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """The options of all packets' notes one behind the other; where each packet's are, how long."""
    table = packets.note_table
    lengths = np.zeros(len(table), np.int64)
    texts: list[bytes] = [b""] * len(table)
    for index in np.flatnonzero(np.bincount(packets.notes, minlength=len(table))).tolist():
        texts[index] = _comment(table[index])
        lengths[index] = len(texts[index])
    places = np.cumsum(lengths) - lengths
    options = np.frombuffer(b"".join(texts), np.uint8)
    return options, places[packets.notes], lengths[packets.notes]


@lru_cache(maxsize=4_096)
def _comment(note: str) -> bytes:
    return blocks.ended(blocks.text_option(blocks.OPT_COMMENT, note, NOTE_BYTES_MAX))


def _summary(counts: Counts) -> str:
    return "\n".join(
        f"{words}: {_worded(count)}"
        for words, count in (
            ("captured", counts.captured),
            ("written", counts.written),
            ("lost in the perf ring", counts.lost_perf_ring),
            ("lost in the sink queue", counts.lost_sink_queue),
            ("lost on disk", counts.lost_disk),
        )
    )


def _worded(count: PacketCount) -> str:
    return f"{count.packets} packets, {count.bytes} bytes"
