"""Where the records are in bytes copied from a perf ring.

In go the 64-bit words of one ring's unread part; out come the payloads' positions. Called by
`palomar_bpf.ring`. Format: struct perf_event_header and PERF_RECORD_* of the kernel's
include/uapi/linux/perf_event.h, with sample_type PERF_SAMPLE_RAW and nothing else.

A record starts on an 8-byte boundary with {u32 type; u16 misc; u16 size}; a sample goes on with
{u32 raw_size; raw bytes}, where raw_size counts the padding up to the record's end. Records only
chain forwards, which a loop follows at the price of interpreter steps for each. So many records are
guessed at in bulk, and a guess counts only when it is a complete chain from the first word to the
last: by induction it is then the one the loop would have found, whatever bytes packets carry.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECORD_LOST = 2
RECORD_SAMPLE = 9
SAMPLE_OVERHEAD_BYTES = 12
"""Of a sample: the record header and the u32 raw_size before the payload."""

_TYPE = 0xFFFF_FFFF
_TYPE_AND_SIZE = np.uint64(0xFFFF_0000_FFFF_FFFF)
_LOST_HEADER = np.uint64(int.from_bytes(struct.pack("<IHH", RECORD_LOST, 0, 24), "little"))
_UNIFORM_WORDS_MIN = 512
_SCAN_WORDS_MIN = 2048
"""Below these many words the loop is cheaper than the fixed cost of the numpy calls."""


class Walk(NamedTuple):
    """What a stretch of ring holds."""

    starts: NDArray[np.int64]
    """Shape (n,): index of each sample's first word."""
    words: NDArray[np.int64]
    """Shape (n,): length of each sample in words, header and padding included."""
    lost: bool
    """Whether PERF_RECORD_LOST was among the records."""
    walked: int
    """Words up to the end of the last sound record; less than given only if the ring is damaged."""


def walk(stretch: NDArray[np.uint64]) -> Walk:
    """Find the samples in `stretch`, which starts and ends on record boundaries.

    Args:
        stretch: Shape (words,), dtype uint64, little-endian.
    """
    found = _uniform(stretch) if len(stretch) >= _UNIFORM_WORDS_MIN else None
    if found is None and len(stretch) >= _SCAN_WORDS_MIN:
        found = _scan(stretch)
    return _follow(stretch) if found is None else found


def _uniform(stretch: NDArray[np.uint64]) -> Walk | None:
    """Guess that all records are samples of the first one's size: reads the headers only."""
    first = int(stretch[0])
    step = first >> 51  # bits 48-63 hold the size in bytes
    if first & _TYPE != RECORD_SAMPLE or step == 0 or len(stretch) % step:
        return None
    headers = stretch[::step] & _TYPE_AND_SIZE
    if not (headers == headers[0]).all():
        return None
    starts = np.arange(0, len(stretch), step, dtype=np.int64)
    return Walk(starts, np.full(len(starts), step, dtype=np.int64), lost=False, walked=len(stretch))


def _scan(stretch: NDArray[np.uint64]) -> Walk | None:
    """Guess that whatever looks like a sample or loss record is one."""
    halves = stretch.view(np.uint32)
    starts = np.flatnonzero(halves[:-2:2] == RECORD_SAMPLE)
    sizes = stretch[starts] >> np.uint64(48)
    # A sample says its size twice; packets that happen to hold a 9 do not.
    alike = halves[2 * starts + 2] == sizes - np.uint64(SAMPLE_OVERHEAD_BYTES)
    starts = starts[alike]
    words = (sizes[alike] >> np.uint64(3)).astype(np.int64)
    if _is_chain(starts, words, len(stretch)):
        return Walk(starts, words, lost=False, walked=len(stretch))
    losses = np.flatnonzero(stretch == _LOST_HEADER)
    if not len(losses):
        return None
    every = np.concatenate((starts, losses))
    order = np.argsort(every, kind="stable")
    lengths = np.concatenate((words, np.full(len(losses), 3, dtype=np.int64)))[order]
    if _is_chain(every[order], lengths, len(stretch)):
        return Walk(starts, words, lost=True, walked=len(stretch))
    return None


def _is_chain(starts: NDArray[np.int64], words: NDArray[np.int64], total: int) -> bool:
    """Whether each record starts where the one before ends, from word 0 to word `total`."""
    ends = starts + words
    return (
        len(starts) > 0
        and int(starts[0]) == 0
        and int(ends[-1]) == total
        and bool((ends[:-1] == starts[1:]).all())
    )


def _follow(stretch: NDArray[np.uint64]) -> Walk:
    """Go from header to header."""
    view = stretch.data  # a memoryview: indexing it yields plain integers
    starts: list[int] = []
    add = starts.append
    position, end, lost = 0, len(view), False
    while position < end:
        header = view[position]
        step = header >> 51
        if step == 0 or position + step > end:
            break
        kind = header & _TYPE
        if kind == RECORD_SAMPLE:
            add(position)
        elif kind == RECORD_LOST:
            lost = True
        position += step
    found = np.array(starts, dtype=np.int64)
    words = (stretch[found] >> np.uint64(51)).astype(np.int64)
    return Walk(found, words, lost, position)
