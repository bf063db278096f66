"""The heads of the last packets of all interfaces, so that a recording can begin in the past.

The memory is taken once, as cells of one size that are written in turn: it is what it costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_recorder.packets import LINKTYPE_ETHERNET, Interface
from palomar_server.recording.packet_cells import cut_cells
from palomar_server.recording.packet_heads import HEAD_BYTES_MAX, PacketHeads

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COLUMNS = np.dtype(
    [
        ("time_ns", "i8"),
        ("original_bytes", "i8"),
        ("captured_bytes", "u4"),
        ("interface", "u4"),
        ("head_bytes", "u2"),
        ("padding", "u1", 6),
    ]
)
_INTERFACES_MAX = 65_536
"""Of further ones the name is not kept."""
_UNKNOWN = Interface("", LINKTYPE_ETHERNET)


class FlightRecorder:
    """Keeps the last packets. For one thread.

    Args:
        memory_bytes: how much memory to take.
        snaplen_bytes: how much of each packet to keep.
    """

    def __init__(self, memory_bytes: int, snaplen_bytes: int) -> None:
        self.cell_bytes = HEAD_BYTES_MAX + snaplen_bytes
        """What a packet takes, about."""
        self._snaplen_bytes = snaplen_bytes
        count = max(1, memory_bytes // (self.cell_bytes + _COLUMNS.itemsize))
        self._cells = np.zeros((count, self.cell_bytes), np.uint8)
        self._columns = np.zeros(count, _COLUMNS)
        self._next = 0
        self._interfaces: dict[Interface, int] = {_UNKNOWN: 0}
        self._table = [_UNKNOWN]

    def __len__(self) -> int:
        """How many packets it has."""
        return min(self._next, len(self._cells))

    def add(self, heads: PacketHeads) -> None:
        """Keep some packets in the place of the oldest."""
        capacity = len(self._cells)
        first = max(0, len(heads) - capacity)
        while first < len(heads):
            at = self._next % capacity
            count = min(len(heads) - first, capacity - at)
            self._put(heads, slice(first, first + count), slice(at, at + count))
            self._next += count
            first += count

    def _put(self, heads: PacketHeads, some: slice, place: slice) -> None:
        payloads = heads.payloads[some]
        self._cells[place] = cut_cells(heads.buffer, payloads, self.cell_bytes)
        columns = self._columns[place]
        columns["time_ns"] = heads.times_ns[some] - heads.clock_offset_ns
        columns["original_bytes"] = heads.original_bytes[some]
        columns["captured_bytes"] = np.minimum(heads.captured_bytes[some], self._snaplen_bytes)
        columns["head_bytes"] = heads.starts[some] - payloads
        numbers = np.array([self._number(one) for one in heads.interface_table], np.uint32)
        columns["interface"] = numbers[heads.interfaces[some]]

    def _number(self, interface: Interface) -> int:
        number = self._interfaces.get(interface)
        if number is None:
            if len(self._table) == _INTERFACES_MAX:
                return 0
            number = self._interfaces[interface] = len(self._table)
            self._table.append(interface)
        return number

    def since(self, time_ns: int, packets_max: int, clock_offset_ns: int = 0) -> PacketHeads:
        """The last packets, copied, in the order of their times and without rules.

        Args:
            time_ns: none before this, UTC.
            packets_max: no more than so many, the last ones.
            clock_offset_ns: what UTC is ahead of kernel time now; another than when they were added
                if the clock was set since.
        """
        capacity = len(self._cells)
        newest = np.arange(max(0, self._next - min(capacity, packets_max)), self._next) % capacity
        columns = self._columns[newest]
        columns["time_ns"] += clock_offset_ns
        which = (columns["time_ns"] >= time_ns).nonzero()[0]
        which = which[columns["time_ns"][which].argsort(kind="stable")]
        columns, cells = columns[which], self._cells[newest[which]]
        payloads = np.arange(len(which), dtype=np.int64) * self.cell_bytes
        return PacketHeads(
            buffer=cells.reshape(-1),
            payloads=payloads,
            starts=payloads + columns["head_bytes"],
            captured_bytes=columns["captured_bytes"].astype(np.int64),
            original_bytes=columns["original_bytes"],
            times_ns=columns["time_ns"],
            interfaces=columns["interface"],
            interface_table=tuple(self._table),
            rules=_no_rules(len(which)),
            passed_over=0,
            clock_offset_ns=clock_offset_ns,
        )


def _no_rules(count: int) -> NDArray[np.uint64]:
    return np.zeros((count, 0), np.uint64)
