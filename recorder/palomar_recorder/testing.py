"""Packets made from plain bytes, and a target in memory, for tests of whatever records."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from palomar_recorder.packets import LINKTYPE_ETHERNET, Interface, Packets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_recorder.encoder import Buffer
    from palomar_recorder.ending import WriteError

START_NS = 1_700_000_000_000_000_000
"""When packets made here are seen, UTC: 2023-11-14T22:13:20Z."""


def packets_of(
    contents: Sequence[bytes],
    *,
    times_ns: Sequence[int] | None = None,
    original_bytes: Sequence[int] | None = None,
    interface: str = "eth0",
    linktype: int = LINKTYPE_ETHERNET,
) -> Packets:
    """Packets of one interface.

    Args:
        contents: what was captured of each.
        times_ns: wall clock, UTC; by default from `START_NS` on, 1,000 ns apart.
        original_bytes: how long each was; by default as long as its content.
        interface: its name.
        linktype: what its packets begin with.
    """
    lengths = np.array([len(content) for content in contents], np.int64)
    count = len(contents)
    return Packets(
        np.frombuffer(b"".join(contents), np.uint8),
        np.cumsum(lengths) - lengths,
        lengths,
        lengths if original_bytes is None else np.array(original_bytes, np.int64),
        START_NS + 1_000 * np.arange(count, dtype=np.int64)
        if times_ns is None
        else np.array(times_ns, np.int64),
        np.zeros(count, np.uint32),
        np.zeros(count, np.uint32),
        [Interface(interface, linktype)],
    )


class MemoryTarget:
    """Keeps what is written; a test may make it wait, or fail."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.is_finished = False
        self.writes = 0
        """How many calls of `write` were let through."""
        self.error: WriteError | None = None
        """What the next `write` raises."""
        self.open = threading.Event()
        """Calls of `write` wait while it is clear; at first it is set."""
        self.open.set()

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Keep the buffers.

        Raises:
            WriteError: the test put it into `error`.
        """
        self.open.wait()
        if self.error is not None:
            raise self.error
        self.writes += 1
        self._keep(buffers)

    def finish(self, buffers: Sequence[Buffer]) -> None:
        """Keep the last buffers."""
        self._keep(buffers)
        self.is_finished = True

    def _keep(self, buffers: Sequence[Buffer]) -> None:
        for buffer in buffers:
            self.content += memoryview(buffer).cast("B") if memoryview(buffer).nbytes else b""
