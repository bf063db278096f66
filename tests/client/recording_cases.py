"""Recordings that the client's tests share."""

from palomar_proto.palomar.v1.recordings_pb2 import PacketCount, RecordingCounts

FILE = bytes(range(256)) * 1200
"""300 KiB, several pieces."""


def counts(written: int, *, ring: int = 0, queue: int = 0, disk: int = 0) -> RecordingCounts:
    """So many packets of 700 bytes each."""

    def of(packets: int) -> PacketCount:
        return PacketCount(packets=packets, bytes=packets * 700)

    return RecordingCounts(
        captured=of(written + queue + disk),
        written=of(written),
        lost_perf_ring=of(ring),
        lost_sink_queue=of(queue),
        lost_disk=of(disk),
    )
