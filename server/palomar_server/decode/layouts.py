"""Which head a payload has: by its type, its version and whose extension it says it carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from palomar_bpf.payload import (
    DEBUG_CAPTURE_HEAD,
    DROP_HEAD,
    DROP_HEAD_V0,
    DROP_HEAD_V3,
    EXT_VERSION,
    EXTENSION,
    HEAD,
    POLICY_VERDICT_HEAD,
    TRACE_HEAD,
    TRACE_HEAD_V1,
    TRACE_HEAD_V2,
    TRACE_SOCK_HEAD,
    MessageType,
)
from palomar_server.decode.gather import gather
from palomar_server.decode.malformed import Malformed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_bpf.batch import PayloadBatch

    _Codes: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Layout:
    """The head of some payloads."""

    kind: int
    """`MessageType`."""
    version: int | None
    """Value of `version`; None where all values mean the same."""
    dtype: np.dtype[np.void]
    """The head, extension block included; the packet bytes follow."""
    ours: bool = False
    """Whether it has palomar's extension block."""


_VERSIONED = (
    (MessageType.TRACE, 0, TRACE_HEAD),
    (MessageType.TRACE, 1, TRACE_HEAD_V1),
    (MessageType.TRACE, 2, TRACE_HEAD_V2),
    (MessageType.DROP, 0, DROP_HEAD_V0),
    (MessageType.DROP, 1, DROP_HEAD_V0),
    (MessageType.DROP, 2, DROP_HEAD),
    (MessageType.DROP, 3, DROP_HEAD_V3),
)

LAYOUTS = (
    *(Layout(int(kind), version, dtype) for kind, version, dtype in _VERSIONED),
    *(
        Layout(int(kind), version, np.dtype([*dtype.descr, ("extension", EXTENSION)]), ours=True)
        for kind, version, dtype in _VERSIONED
    ),
    Layout(int(MessageType.POLICY_VERDICT), None, POLICY_VERDICT_HEAD),
    Layout(int(MessageType.DEBUG_CAPTURE), None, DEBUG_CAPTURE_HEAD),
    Layout(int(MessageType.TRACE_SOCK), None, TRACE_SOCK_HEAD),
)
"""All heads that are decoded by columns. The code of one is its index here."""

CODE_RARE = len(LAYOUTS)
"""Stands for messages that are decoded one by one."""
CODE_MALFORMED = CODE_RARE + 1
"""Stands for payloads without a head that is known and whole."""
_CODE_UNKNOWN_VERSION = CODE_RARE + 2

RARE_TYPES = (MessageType.DEBUG, MessageType.ACCESS_LOG, MessageType.AGENT)

_OURS = 1 << 16
_CODES = np.full(2 * _OURS, CODE_MALFORMED, np.uint8)
"""Codes by type | version << 8 | whether it carries our extension << 16."""
_BY_TYPE = _CODES.reshape(-1, 256)
for _layout in LAYOUTS:
    _BY_TYPE[:, _layout.kind] = _CODE_UNKNOWN_VERSION
for _code, _layout in enumerate(LAYOUTS):
    if _layout.version is None:
        _BY_TYPE[:, _layout.kind] = _code
    else:
        _BY_TYPE[_layout.version + 256 * _layout.ours, _layout.kind] = _code
for _type in RARE_TYPES:
    _BY_TYPE[:, _type] = CODE_RARE
_DECODED = _BY_TYPE[0] < CODE_RARE
_SIZES = np.zeros(_CODE_UNKNOWN_VERSION + 1, np.int64)
_SIZES[:CODE_RARE] = [layout.dtype.itemsize for layout in LAYOUTS]

_WORDS = np.dtype([("first", "u4"), ("middle", "u1", 8), ("last", "u4")])
"""`HEAD` as words of a little-endian machine: the type is the lowest byte of the first, versions
are the upper half of the last."""
_TYPE, _SHIFT, _VERSIONS = np.uint32(0xFF), np.uint32(8), np.uint32(0xFFFF00)
_KEY, _EXT_SHIFT, _OURS_SHIFT = np.uint32(0xFFFF), np.uint32(16), np.uint32(16)


def classify(batch: PayloadBatch, buffer: NDArray[np.uint8]) -> tuple[int | _Codes, _Codes | None]:
    """Find out which head each payload has.

    Args:
        batch: n payloads, at least one.
        buffer: its buffer, padded.

    Returns:
        The code of all payloads where they share one layout and all have it whole; else the codes,
        shape (n,), dtype uint8. Then why those with `CODE_MALFORMED` are, shape (n,), `Malformed`;
        None if there are none.
    """
    lengths = batch.lengths
    words = gather(buffer, batch.offsets, _WORDS)
    keys = words["first"] & _TYPE
    keys |= words["last"] >> _SHIFT & _VERSIONS
    shortest = int(lengths.min())
    if np.count_nonzero(keys != keys[0]) == 0:
        # Most batches of one source: one kind of message, and nothing wrong with any.
        code = _code_of(int(keys[0]))
        if code < CODE_RARE and shortest >= _SIZES[code]:
            return code, None
    codes = _codes(keys)
    short = lengths < _SIZES[codes]
    unknown = codes >= CODE_MALFORMED
    if shortest >= HEAD.itemsize and not np.count_nonzero(short) + np.count_nonzero(unknown):
        return codes, None
    malformed = np.zeros(len(codes), np.uint8)
    malformed[unknown] = Malformed.UNKNOWN_TYPE
    malformed[codes == _CODE_UNKNOWN_VERSION] = Malformed.UNKNOWN_VERSION
    malformed[short] = Malformed.HEAD_TOO_SHORT
    # Another payload's bytes are behind a short one, so it has no version.
    cut = lengths < HEAD.itemsize
    malformed[cut & _DECODED[keys & _TYPE]] = Malformed.HEAD_TOO_SHORT
    empty = lengths == 0
    malformed[empty] = Malformed.EMPTY
    codes[malformed != 0] = CODE_MALFORMED
    return codes, malformed


def _code_of(key: int) -> int:
    return int(_CODES[key & 0xFFFF | (key >> 16 == EXT_VERSION) << 16])


def _codes(keys: NDArray[np.uint32]) -> _Codes:
    ours = (keys >> _EXT_SHIFT == EXT_VERSION).astype(np.uint32)
    codes: _Codes = _CODES.take(keys & _KEY | ours << _OURS_SHIFT)
    return codes
