"""An archive in a folder of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.pcap import PcapEncoder
from palomar_recorder.storage import Storage
from palomar_recorder.testing import packets_of
from palomar_server.catalogue.catalogue import Catalogue
from palomar_server.recording.archive import Archive

if TYPE_CHECKING:
    from pathlib import Path

NODE = "default/node-1"
NOW_NS = 1_700_000_000_000_000_000
KEEP_NS = 1_000_000_000
COMPLETE = recordings_pb2.RECORDING_STATUS_COMPLETE
INTERRUPTED = recordings_pb2.RECORDING_STATUS_INTERRUPTED


class Node:
    """An archive in a folder of its own, on a clock of its own."""

    def __init__(self, path: Path, url: str = "") -> None:
        self.now_ns = NOW_NS
        self.storage = Storage(
            path / "files", max_bytes=1 << 30, free_min_bytes=0, file_max_bytes=1 << 30
        )
        self.url = url or f"sqlite+aiosqlite:///{path}/catalogue.db"
        self.again()

    def again(self) -> None:
        """As after a restart."""
        self.archive = Archive(
            self.storage,
            Catalogue(self.url),
            node_name=NODE,
            keep_ns=KEEP_NS,
            clock_ns=lambda: self.now_ns,
        )

    def recording(self, number: int, *, file: bool = True) -> recordings_pb2.Recording:
        """One under way, with its file."""
        recording = recordings_pb2.Recording(
            id=f"a-{number:08x}", node_name=NODE, status=recordings_pb2.RECORDING_STATUS_RUNNING
        )
        recording.started.FromNanoseconds(NOW_NS + number)
        if file:
            recording.file_name = f"{recording.id}_node-1.pcap"
        return recording

    def file(self, recording: recordings_pb2.Recording, *, finish: bool) -> bytes:
        """Write its file: two packets, and a half one where it is not finished."""
        target = self.storage.create(f"{recording.id}_node-1", ".pcap")
        encoder = PcapEncoder(snaplen_bytes=0)
        whole = [*encoder.begin(), *encoder.encode(packets_of([b"x" * 60, b"y" * 70]))]
        target.write(whole)
        if finish:
            target.finish([])
        else:
            target.write([b"half"])
            # As when its writer dies: nothing more is done, and its lock is gone.
            target._close()
        return b"".join(bytes(one) for one in whole)


def end(recording: recordings_pb2.Recording) -> None:
    """Have it ended as somebody wished."""
    recording.status = COMPLETE
    recording.end = recordings_pb2.RECORDING_END_STOPPED
    recording.ended.FromNanoseconds(NOW_NS)
