"""Raw payloads as they leave a source: many at a time, with what was lost beside them.

Sources (the live capture here, replay in the server) make these; the server's agent consumes them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LossKind(enum.Enum):
    """The kernel-side stage that lost events."""

    PERF_RING = "perf_ring"
    """The perf ring of a CPU was full: the reader was too slow for its size."""
    RATE_LIMIT = "rate_limit"
    """The token bucket of an event kind was empty: a flood was cut."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Events that a source counted but could not hand over."""

    kind: LossKind
    cpu: int
    """The CPU on which they were lost."""
    events: int
    """How many since the last report for this kind and CPU; at least 1."""


@dataclass(frozen=True, slots=True)
class PayloadBatch:
    """Monitor payloads in one buffer, in the order the source read them.

    A payload is one monitor message: its fixed head, the extension block if it has one, and the
    packet bytes (layouts in `palomar_bpf.payload`). Perf samples may carry padding behind it.
    """

    buffer: NDArray[np.uint8]
    """Shape (bytes,), dtype uint8: all payloads; may hold other bytes between them."""
    offsets: NDArray[np.int64]
    """Shape (n,), dtype int64: where each payload starts in `buffer`."""
    lengths: NDArray[np.int64]
    """Shape (n,), dtype int64: length of each payload in bytes, padding included."""
    cpus: NDArray[np.uint16]
    """Shape (n,), dtype uint16: the CPU each payload was emitted on."""
    received_ns: int
    """Wall clock (UTC, ns) when the batch was read; the time of payloads without their own."""
    losses: tuple[Loss, ...] = ()
    """What was lost since the batch before this one."""

    def __len__(self) -> int:
        return len(self.offsets)

    def payload(self, index: int) -> bytes:
        """The bytes of one payload, for the rare reader that wants just one."""
        start = int(self.offsets[index])
        return self.buffer[start : start + int(self.lengths[index])].tobytes()
