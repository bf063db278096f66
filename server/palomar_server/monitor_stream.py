"""Batches as the bytes of a monitor stream, in pieces that are kept or lost as one.

In: a payload batch. Out: pieces of the protocol 1.2 stream (`palomar_proto.monitor.payload`), made
once and shared by all clients.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palomar_bpf.batch import LossKind
from palomar_proto.monitor.payload import LOST, SAMPLE, Payload, encode, sample_around

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from palomar_bpf.batch import Loss, PayloadBatch

PIECE_EVENTS_MAX = 256
"""Few enough that a queue is filled finely, enough that a piece costs little beside its events."""
PIECE_BYTES_MAX = 256 * 1024
"""Where a piece ends early; one payload alone may be longer."""

_AROUND_MAX = 4096
"""Remembered heads; traffic has a few dozen lengths on each CPU."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some messages of a stream."""

    data: bytes
    cpus: Sequence[int] = ()
    """The CPU of each event in it."""
    told: Mapping[int, int] | None = None
    """The losses by CPU that it tells of."""

    def missed(self) -> Counter[int]:
        """What a client misses without this piece: events by CPU."""
        return Counter(self.cpus) + Counter(self.told)


def loss_piece(lost: Mapping[int, int]) -> Piece:
    """A notice for each CPU that lost events."""
    notices = (encode(Payload(b"", cpu, events, LOST)) for cpu, events in sorted(lost.items()))
    return Piece(b"".join(notices), told=dict(lost))


def told_losses(losses: Iterable[Loss]) -> Counter[int]:
    """Events lost by CPU; without gaps of a source, for there is no word for an unknown number."""
    lost: Counter[int] = Counter()
    for loss in losses:
        if loss.kind is not LossKind.SOURCE_GAP:
            lost[loss.cpu] += loss.events
    return lost


class StreamEncoder:
    """Turns batches into pieces. For one thread."""

    def __init__(self) -> None:
        self._around: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    def pieces(self, batch: PayloadBatch) -> Iterator[Piece]:
        """The losses of a batch, then its payloads."""
        if batch.losses and (lost := told_losses(batch.losses)):
            yield loss_piece(lost)
        cpus = batch.cpus.tolist()
        lengths = batch.lengths.tolist()
        starts = batch.offsets.tolist()
        first = 0
        while first < len(cpus):
            end = _piece_end(lengths, first)
            data = self._samples(
                batch.buffer.data, starts[first:end], lengths[first:end], cpus[first:end]
            )
            yield Piece(data, cpus[first:end])
            first = end

    def _samples(
        self, buffer: memoryview, starts: list[int], lengths: list[int], cpus: list[int]
    ) -> bytes:
        parts: list[bytes | memoryview] = []
        around = self._around
        if len(around) > _AROUND_MAX:
            around.clear()
        for start, length, cpu in zip(starts, lengths, cpus, strict=True):
            if (ends := around.get((length, cpu))) is None:
                ends = around[length, cpu] = _around(length, cpu)
            parts += (ends[0], buffer[start : start + length], ends[1])
        return b"".join(parts)


def _around(length: int, cpu: int) -> tuple[bytes, bytes]:
    if length:
        return sample_around(length, cpu)
    return encode(Payload(b"", cpu, 0, SAMPLE)), b""


def _piece_end(lengths: list[int], first: int) -> int:
    last = min(first + PIECE_EVENTS_MAX, len(lengths))
    room_bytes = PIECE_BYTES_MAX - lengths[first]
    for index in range(first + 1, last):
        room_bytes -= lengths[index]
        if room_bytes < 0:
            return index
    return last
