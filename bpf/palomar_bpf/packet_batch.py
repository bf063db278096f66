"""Recorded packets as they leave the kernel: monitor messages, each with the rules it matched.

`palomar_bpf.packet_capture` makes these; the server's dispatcher consumes them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from palomar_bpf.capture_rule import RULE_WORDS
from palomar_bpf.payload import DROP_HEAD, EXTENSION, TRACE_HEAD, MessageType

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import DTypeLike, NDArray

    from palomar_bpf.batch import PayloadBatch

_RULES_BYTES = 8 * RULE_WORDS
_HALVES = np.arange(2 * RULE_WORDS, dtype=np.int64)
_TAG_AT: int = TRACE_HEAD.fields["src_label"][1]  # type: ignore[index]
_ORIGINAL_AT: int = TRACE_HEAD.fields["len_orig"][1]  # type: ignore[index]
_CAPTURED_AT: int = TRACE_HEAD.fields["len_cap"][1]  # type: ignore[index]
"""Places in both heads."""
_TAG_BYTES = 4
_ADDRESSES_BYTES = 12
"""Of an Ethernet header, before its tags."""
_HEADS_BYTES = {
    MessageType.TRACE: TRACE_HEAD.itemsize + EXTENSION.itemsize,
    MessageType.DROP: DROP_HEAD.itemsize + EXTENSION.itemsize,
}


@dataclass(frozen=True, slots=True)
class PacketBatch:
    """Some packets in the order they were read: in order of time for each CPU."""

    payloads: PayloadBatch
    """Monitor messages (TRACE_HEAD or DROP_HEAD, EXTENSION, packet bytes) as the decoder knows
    them. `len_cap` of a head says where the packet ends; padding follows."""
    rules: NDArray[np.uint64]
    """Shape (n, RULE_WORDS), dtype uint64: the set of rules each packet matched; rule r is bit
    r % 64 of word r // 64."""

    def __len__(self) -> int:
        return len(self.rules)

    def matching(self, rule: int) -> NDArray[np.bool_]:
        """Shape (n,), dtype bool: which packets matched a rule."""
        words = self.rules[:, rule // 64]
        return (words >> np.uint64(rule % 64) & np.uint64(1)).astype(np.bool_)


def split_rules(samples: PayloadBatch) -> PacketBatch:
    """Take the sets of rules off the begin of what record.c sent, and put VLAN tags into packets.

    Args:
        samples: As read from the perf rings: `buffer` starts on an 8-byte boundary, `offsets` are
            multiples of 4, and it may be written to.
    """
    words = samples.buffer.view(np.uint32)
    # A sample starts 4 bytes off a 64-bit boundary, so its words are put together of halves.
    halves = words[(samples.offsets >> 2)[:, None] + _HALVES]
    payloads = dataclasses.replace(
        samples,
        offsets=samples.offsets + _RULES_BYTES,
        lengths=samples.lengths - _RULES_BYTES,
    )
    # Ours all have a head; of others it does not matter what is found there.
    tags_at = np.minimum((payloads.offsets + _TAG_AT) >> 2, len(words) - 1)
    tagged = (words[tags_at] != 0).nonzero()[0]
    if len(tagged):
        _put_tags(payloads, tagged)
    return PacketBatch(payloads, halves.view(np.uint64))


def _put_tags(payloads: PayloadBatch, tagged: NDArray[np.intp]) -> None:
    """Put the tags that came beside some packets behind their Ethernet addresses.

    There is room in front of each message, where its rules were.
    """
    buffer, offsets, lengths = payloads.buffer, payloads.offsets, payloads.lengths
    kinds = buffer[offsets[tagged]]
    for kind, head_bytes in _HEADS_BYTES.items():
        rows = tagged[(kinds == kind) & (lengths[tagged] >= head_bytes)]
        if not len(rows):
            continue
        starts = offsets[rows]
        tags = _windows(buffer, np.uint32)[starts + _TAG_AT]
        _windows(buffer, np.uint32)[starts + _TAG_AT] = 0
        _windows(buffer, np.uint32)[starts + _ORIGINAL_AT] += np.uint32(_TAG_BYTES)
        whole = _windows(buffer, np.uint16)[starts + _CAPTURED_AT] >= _ADDRESSES_BYTES
        # Of packets cut before it there is no tag to be seen.
        rows, starts, tags = rows[whole], starts[whole], tags[whole]
        _windows(buffer, np.uint16)[starts + _CAPTURED_AT] += np.uint16(_TAG_BYTES)
        moved = _windows(buffer, f"V{head_bytes + _ADDRESSES_BYTES}")
        moved[starts - _TAG_BYTES] = moved[starts]
        tags_at = starts + (head_bytes + _ADDRESSES_BYTES - _TAG_BYTES)
        _windows(buffer, np.uint32)[tags_at] = tags
        offsets[rows] -= _TAG_BYTES
        lengths[rows] += _TAG_BYTES


def _windows(buffer: NDArray[np.uint8], dtype: DTypeLike) -> NDArray[Any]:
    """What a buffer holds at each of its bytes, if that is the first of such a value."""
    size = np.dtype(dtype).itemsize
    return np.ndarray((max(0, len(buffer) - size + 1),), dtype, buffer, strides=(1,))


def pack_rules(rules: Collection[Collection[int]]) -> NDArray[np.uint64]:
    """Sets of rule numbers as `PacketBatch.rules`; for packets that no kernel matched."""
    packed = np.zeros((len(rules), RULE_WORDS), np.uint64)
    for row, numbers in enumerate(rules):
        for number in numbers:
            packed[row, number // 64] |= np.uint64(1 << number % 64)
    return packed
