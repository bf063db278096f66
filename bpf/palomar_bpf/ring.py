"""One CPU's perf ring as shared memory, and the draining of many at once.

In goes the memory a perf event was mapped to; out comes everything unread, copied into one buffer
that the consumer owns. Called by `palomar_bpf.reader`; works on any memory laid out like the
kernel's (`palomar_bpf.testing.FakeRing`). Format: struct perf_event_mmap_page of the kernel's
include/uapi/linux/perf_event.h: one control page, then 2^n data pages.

Memory order: the head must be read before the records, and the records before the tail is
published. x86-64 never reorders loads with loads, nor stores with earlier loads; elsewhere `fence`
must order them, and is called once before all copies and once after.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from palomar_bpf.records import SAMPLE_OVERHEAD_BYTES, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

HEAD_WORD = 1024 // 8
TAIL_WORD = 1032 // 8
"""Places of data_head and data_tail in the control page, in 64-bit words."""


class PerfRing:
    """The consumer's side of one ring.

    Args:
        cpu: The CPU whose events land here.
        memory: Writable; a control page and a power of two of data pages.
    """

    def __init__(self, cpu: int, memory: mmap.mmap | bytearray) -> None:
        words = np.frombuffer(memory, dtype=np.uint64)
        self._control = words[: mmap.PAGESIZE // 8]
        self._data = words[mmap.PAGESIZE // 8 :]
        if len(self._data) == 0 or len(self._data) & (len(self._data) - 1):
            msg = f"a perf ring has a power of two of data pages, not {self._data.nbytes} bytes"
            raise ValueError(msg)
        self.cpu = cpu
        self.size_bytes = self._data.nbytes

    def unread(self) -> tuple[int, int]:
        """Positions (tail, head), in bytes since the ring was made, of what is to be read."""
        return int(self._control[TAIL_WORD]), int(self._control[HEAD_WORD])

    def copy(self, tail: int, head: int, target: NDArray[np.uint64]) -> None:
        """Copy the bytes between two positions, unwrapped, into `target` of exactly that length."""
        start = (tail % self.size_bytes) // 8
        words = (head - tail) // 8
        before_wrap = min(words, len(self._data) - start)
        target[:before_wrap] = self._data[start : start + before_wrap]
        target[before_wrap:] = self._data[: words - before_wrap]

    def release(self, head: int) -> None:
        """Give everything before position `head` back to the kernel."""
        self._control[TAIL_WORD] = head


class Drained(NamedTuple):
    """What several rings held at one moment."""

    buffer: NDArray[np.uint8]
    """Shape (bytes,): all records, ring after ring; owned by whoever gets this."""
    offsets: NDArray[np.int64]
    """Shape (n,): where each payload starts in `buffer`; in order of emission per CPU."""
    lengths: NDArray[np.int64]
    """Shape (n,): bytes of each payload, with up to 7 bytes of padding at its end."""
    cpus: NDArray[np.uint16]
    """Shape (n,): the CPU of each payload."""
    busiest_bytes: int
    """What the fullest ring held."""
    lost: bool
    """Whether the kernel noted a loss in one of the rings."""
    damaged_bytes: int
    """Bytes that had to be skipped because they were no chain of records: a bug if not 0."""


def drain(rings: Sequence[PerfRing], fence: Callable[[], None] | None = None) -> Drained | None:
    """Take all that the rings hold now; None if they are empty.

    Heads are read once, before anything is copied, so a CPU that emits as fast as it is read cannot
    keep the others waiting.

    Args:
        rings: One a CPU.
        fence: Orders earlier memory accesses before later ones; None where the processor does.
    """
    spans = [(ring, *ring.unread()) for ring in rings]
    sizes = [head - tail for _, tail, head in spans]
    total_bytes = sum(sizes)
    if total_bytes == 0:
        return None
    if fence is not None:
        fence()
    buffer = np.empty(total_bytes // 8, dtype=np.uint64)
    stretches: list[tuple[int, int, NDArray[np.uint64]]] = []
    first = 0
    for (ring, tail, head), size_bytes in zip(spans, sizes, strict=True):
        if size_bytes == 0:
            continue
        stretch = buffer[first : first + size_bytes // 8]
        ring.copy(tail, head, stretch)
        stretches.append((ring.cpu, first, stretch))
        first += size_bytes // 8
    if fence is not None:
        fence()
    for ring, tail, head in spans:
        if head != tail:
            ring.release(head)
    return _locate(buffer, stretches, max(sizes))


def _locate(
    buffer: NDArray[np.uint64],
    stretches: Sequence[tuple[int, int, NDArray[np.uint64]]],
    busiest_bytes: int,
) -> Drained:
    """Walk each (cpu, first word, stretch) of `buffer` and put the finds together."""
    walks = [walk(stretch) for _, _, stretch in stretches]
    if len(walks) == 1:
        # Often only one CPU has anything to say, and then there is nothing to put together.
        [(cpu, _, stretch)], [found] = stretches, walks
        return Drained(
            buffer=buffer.view(np.uint8),
            offsets=found.starts * 8 + SAMPLE_OVERHEAD_BYTES,
            lengths=found.words * 8 - SAMPLE_OVERHEAD_BYTES,
            cpus=np.full(len(found.starts), cpu, np.uint16),
            busiest_bytes=busiest_bytes,
            lost=found.lost,
            damaged_bytes=8 * (len(stretch) - found.walked),
        )
    starts = np.concatenate(
        [found.starts + first for (_, first, _), found in zip(stretches, walks, strict=True)]
    )
    return Drained(
        buffer=buffer.view(np.uint8),
        offsets=starts * 8 + SAMPLE_OVERHEAD_BYTES,
        lengths=np.concatenate([found.words for found in walks]) * 8 - SAMPLE_OVERHEAD_BYTES,
        cpus=np.repeat(
            np.array([cpu for cpu, _, _ in stretches], dtype=np.uint16),
            [len(found.starts) for found in walks],
        ),
        busiest_bytes=busiest_bytes,
        lost=any(found.lost for found in walks),
        damaged_bytes=8
        * sum(
            len(stretch) - found.walked
            for (_, _, stretch), found in zip(stretches, walks, strict=True)
        ),
    )
