"""The frames of an event file, as bytes: recorded payload batches and what explains them.

In: a batch or a context object. Out: the bytes of its frames; and back. No I/O: `event_file` reads
and writes. A file is `MAGIC` and then frames, each a u8 kind, three zero bytes, a u32 body length
and the body; all numbers are little-endian:

- 1 CONTEXT: a JSON object (its keys: `surroundings`).
- 2 BATCH: u64 received_ns, u32 n, u32 payload bytes, n u32 lengths, n u16 CPUs, and the payloads
  back to back.
- 3 LOSS: a JSON list of {"kind", "cpu", "events", "first_ns"}, the last left out where it is 0: the
  losses of the BATCH right behind it.

JSON is UTF-8 (RFC 8259). The last byte but one of the magic is the version of all this.
"""

from __future__ import annotations

import enum
import json
import struct
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from palomar_bpf.batch import Loss, LossKind, PayloadBatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Buffers: TypeAlias = list[bytes | memoryview]
"""Bytes in pieces, as os.writev takes them."""

MAGIC = b"PLMREC\x01\n"
VERSION_AT = 6
"""Where in the magic the version is."""
FRAME = struct.Struct("<B3xI")
FRAME_BYTES_MAX = 64 << 20
"""Largest body of a frame, written or read: what a hostile file can make us allocate at once."""
LOSS_BYTES_MAX = 1 << 20
"""Largest LOSS body; room for both kinds on several thousand CPUs."""
BATCH_EVENTS_MAX = 1 << 20
"""Most payloads in one BATCH; bounds what empty payloads can make us allocate."""

_BATCH_HEAD = struct.Struct("<QII")
_BYTES_PER_EVENT = 6
_INT64_MAX = (1 << 63) - 1
_CPU_MAX = 0xFFFF
_GATHERED_AT_ONCE = 512
"""Payloads copied in one step: what that needs stays in the CPU's cache and off fresh pages, which
is three times as fast as all of a large batch at once."""


class FrameKind(enum.IntEnum):
    """First byte of a frame."""

    CONTEXT = 1
    BATCH = 2
    LOSS = 3


class FrameError(ValueError):
    """A frame does not hold what it should; says what is wrong."""


def encode_context(context: dict[str, Any]) -> Buffers:
    """A CONTEXT frame.

    Raises:
        ValueError: it cannot be written as JSON, or not in `FRAME_BYTES_MAX`.
    """
    # ASCII: names of files and links need not be UTF-8, and arrive here with lone surrogates.
    body = json.dumps(context, separators=(",", ":")).encode("ascii")
    if len(body) > FRAME_BYTES_MAX:
        limit = f"of {FRAME_BYTES_MAX:,}: write it in parts"
        raise ValueError(f"a context of {len(body):,} bytes exceeds the maximum {limit}")
    return [FRAME.pack(FrameKind.CONTEXT, len(body)), body]


def encode_batch(batch: PayloadBatch) -> Buffers:
    """A LOSS frame if the batch has losses, and its BATCH frame."""
    starts = range(0, len(batch), _GATHERED_AT_ONCE)
    payloads = [_back_to_back(part_of(batch, at, at + _GATHERED_AT_ONCE)) for at in starts]
    payload_bytes = sum(map(len, payloads))
    head = _BATCH_HEAD.pack(batch.received_ns, len(batch), payload_bytes)
    body_bytes = len(head) + _BYTES_PER_EVENT * len(batch) + payload_bytes
    return [
        *_encode_losses(batch.losses),
        FRAME.pack(FrameKind.BATCH, body_bytes) + head,
        batch.lengths.astype("<u4").tobytes(),
        batch.cpus.astype("<u2").tobytes(),
        *(np.ascontiguousarray(part).data for part in payloads),
    ]


def _encode_losses(losses: tuple[Loss, ...]) -> Buffers:
    if not losses:
        return []
    items = []
    for loss in losses:
        item = {"kind": loss.kind.value, "cpu": loss.cpu, "events": loss.events}
        items.append({**item, "first_ns": loss.first_ns} if loss.first_ns else item)
    body = json.dumps(items, separators=(",", ":")).encode("ascii")
    return [FRAME.pack(FrameKind.LOSS, len(body)), body]


def _back_to_back(batch: PayloadBatch) -> NDArray[np.uint8]:
    """The payload bytes without what lies between them."""
    offsets, lengths = batch.offsets, batch.lengths
    gaps = offsets[1:] - offsets[:-1] - lengths[:-1]
    if (gaps >= 0).all():
        stretch: NDArray[np.uint8] = batch.buffer[offsets[0] : offsets[-1] + lengths[-1]]
        if not gaps.any():
            return stretch
        # In order: a mask over the stretch, three times as fast as an index for each byte.
        runs = np.empty(2 * len(batch) - 1, np.int64)
        runs[0::2], runs[1::2] = lengths, gaps
        is_payload = np.zeros(len(runs), bool)
        is_payload[0::2] = True
        mask: NDArray[np.bool_] = np.repeat(is_payload, runs)
        return stretch[mask]
    index: NDArray[np.int64] = np.repeat(offsets - np.cumsum(lengths) + lengths, lengths)
    index += np.arange(len(index))
    return batch.buffer[index]


def part_of(batch: PayloadBatch, start: int, end: int) -> PayloadBatch:
    """Payloads `start` to `end` of a batch, on the same buffer; the first part has its losses."""
    return PayloadBatch(
        buffer=batch.buffer,
        offsets=batch.offsets[start:end],
        lengths=batch.lengths[start:end],
        cpus=batch.cpus[start:end],
        received_ns=batch.received_ns,
        losses=batch.losses if start == 0 else (),
    )


def parts_that_fit(batch: PayloadBatch) -> Iterator[PayloadBatch]:
    """The batch in parts of which each fits a frame; nearly always as it is.

    Raises:
        ValueError: one payload alone is too long.
    """
    ends = np.cumsum(batch.lengths + _BYTES_PER_EVENT)
    room_bytes = FRAME_BYTES_MAX - _BATCH_HEAD.size
    if len(batch) <= BATCH_EVENTS_MAX and (not len(batch) or ends[-1] <= room_bytes):
        yield batch
        return
    start = 0
    while start < len(batch):
        limit = room_bytes + (ends[start - 1] if start else 0)
        end = min(int(np.searchsorted(ends, limit, side="right")), start + BATCH_EVENTS_MAX)
        if end == start:
            raise ValueError(f"a payload of {batch.lengths[start]:,} bytes fits no frame")
        yield part_of(batch, start, end)
        start = end


def decode_context(body: bytes) -> dict[str, Any]:
    """The object of a CONTEXT body.

    Raises:
        FrameError: it is no JSON object.
    """
    context = _decode_json(body)
    if not isinstance(context, dict):
        raise FrameError(f"a context is a JSON object, not {type(context).__name__}")
    return context


def decode_batch(body: bytes, losses: tuple[Loss, ...] = ()) -> PayloadBatch:
    """The batch of a BATCH body, its buffer a read-only view of `body`.

    Raises:
        FrameError: its numbers contradict each other or exceed the maxima.
    """
    if len(body) < _BATCH_HEAD.size:
        raise FrameError(f"a batch of {len(body)} bytes lacks its head")
    received_ns, count, payload_bytes = _BATCH_HEAD.unpack_from(body)
    cpus_at = _BATCH_HEAD.size + 4 * count
    payloads_at = _BATCH_HEAD.size + _BYTES_PER_EVENT * count
    if received_ns > _INT64_MAX:
        raise FrameError(f"a batch cannot have been received at {received_ns} ns")
    if count > BATCH_EVENTS_MAX:
        raise FrameError(f"a batch of {count:,} events exceeds the maximum {BATCH_EVENTS_MAX:,}")
    if payloads_at + payload_bytes != len(body):
        content = f"{count:,} events of together {payload_bytes:,} bytes"
        raise FrameError(f"{content} do not fill a batch of {len(body):,} bytes")
    lengths = np.frombuffer(body, "<u4", count, _BATCH_HEAD.size).astype(np.int64)
    ends = np.cumsum(lengths)
    if (ends[-1] if count else 0) != payload_bytes:
        raise FrameError(f"the payload lengths do not sum up to {payload_bytes:,} bytes")
    return PayloadBatch(
        buffer=np.frombuffer(body, np.uint8, payload_bytes, payloads_at),
        offsets=ends - lengths,
        lengths=lengths,
        cpus=np.frombuffer(body, "<u2", count, cpus_at).astype(np.uint16),
        received_ns=received_ns,
        losses=losses,
    )


def decode_losses(body: bytes) -> tuple[Loss, ...]:
    """The losses of a LOSS body, at least one.

    Raises:
        FrameError: it is no list of losses.
    """
    items = _decode_json(body)
    try:
        losses = tuple(
            Loss(
                kind=LossKind(item["kind"]),
                cpu=_number(item["cpu"], 0, _CPU_MAX),
                events=_number(item["events"], 1, _INT64_MAX),
                first_ns=_number(item.get("first_ns", 0), 0, _INT64_MAX),
            )
            for item in items
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FrameError(f"losses are not understood: {error}") from error
    if not losses:
        raise FrameError("a frame of losses holds none")
    return losses


def _number(value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{value!r:.40} is no number from {low} to {high}")
    return value


def _decode_json(body: bytes) -> Any:
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise FrameError(f"JSON is not understood: {error}") from error
