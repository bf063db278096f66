"""What became of the packets that a recording selects, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class PacketCount:
    """Some packets."""

    packets: int = 0
    bytes: int = 0
    """Captured bytes of these packets, whatever a file needs beside them."""

    def add(self, packets: int, captured_bytes: int) -> None:
        """Count further ones."""
        self.packets += packets
        self.bytes += captured_bytes


@dataclass(slots=True)
class Counts:
    """Captured is written, lost in the sink's queue, lost on disk, or still on its way."""

    captured: PacketCount = field(default_factory=PacketCount)
    """Came up from the kernel, match, and came before the recording's end."""
    written: PacketCount = field(default_factory=PacketCount)
    """Are in the file, or were handed to the stream's reader."""
    lost_perf_ring: PacketCount = field(default_factory=PacketCount)
    """Did not come up, as the perf ring was full; those that the kernel's part of the filter
    selects, which may be more than match. Not in `captured`."""
    lost_sink_queue: PacketCount = field(default_factory=PacketCount)
    """Found the sink's queue full."""
    lost_disk: PacketCount = field(default_factory=PacketCount)
    """Were in the queue when writing ended for a fault or a limit of the file."""

    @property
    def lost_packets(self) -> int:
        """Packets lost at any stage."""
        return self.lost_perf_ring.packets + self.lost_sink_queue.packets + self.lost_disk.packets
