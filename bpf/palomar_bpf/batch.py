"""Raw payloads as they leave a source: many at a time, with what was lost beside them.

Sources (the live capture here, replay in the server) make these; the server's agent consumes them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class LossKind(enum.Enum):
    """The stage that lost events before they became a batch."""

    PERF_RING = "perf_ring"
    """The perf ring of a CPU was full: the reader was too slow for its size."""
    RATE_LIMIT = "rate_limit"
    """The token bucket of an event kind was empty: a flood was cut."""
    SOURCE_GAP = "source_gap"
    """The connection to a remote source was cut; what happened until the next one is not known.
    `Loss.events` counts such gaps and not what was lost in them, and `Loss.cpu` is 0."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Events that a source counted but could not hand over."""

    kind: LossKind
    cpu: int
    """The CPU on which they were lost."""
    events: int
    """How many since the last report for this kind and CPU; at least 1."""
    first_ns: int = 0
    """Wall clock (UTC, ns) from when on they were lost; 0: since the batch before."""


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

    @classmethod
    def of(
        cls,
        payloads: Sequence[bytes],
        *,
        received_ns: int,
        cpus: Sequence[int] | None = None,
        losses: tuple[Loss, ...] = (),
    ) -> Self:
        """A batch of payloads that are there one by one.

        Args:
            payloads: any number, also none.
            received_ns: as the field.
            cpus: of each payload; None for 0.
            losses: as the field.
        """
        lengths = np.fromiter(map(len, payloads), np.int64, len(payloads))
        return cls(
            buffer=np.frombuffer(b"".join(payloads), np.uint8),
            offsets=np.cumsum(lengths) - lengths,
            lengths=lengths,
            cpus=np.zeros(len(payloads), np.uint16) if cpus is None else np.array(cpus, np.uint16),
            received_ns=received_ns,
            losses=losses,
        )

    def __len__(self) -> int:
        return len(self.offsets)

    def payload(self, index: int) -> bytes:
        """The bytes of one payload, for the rare reader that wants just one."""
        start = int(self.offsets[index])
        return self.buffer[start : start + int(self.lengths[index])].tobytes()
