"""Options of IPv4 and TCP headers, by columns: one step of this module is one option of all rows.

Both have the form of RFC 791 section 3.1 and RFC 9293 section 3.1: 0 ends the list, 1 is padding of
one byte, all others carry their length, itself and the kind included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_END, _PADDING = 0, 1
_STEPS_MAX = 40
"""Bytes of options that a header has room for: every step takes one at least."""


def broken_options(
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    end: NDArray[np.int64],
    shortest: int,
) -> NDArray[np.bool_]:
    """Whether an option is cut, longer than its header or shorter than an option can be.

    Args:
        buffer: the bytes, padded.
        at: offset of the first option of n headers, shape (n,).
        end: offset behind the last, shape (n,), at most 40 more.
        shortest: the least length an option may say it has.

    Returns:
        Shape (n,), dtype bool.
    """
    broken = np.zeros(len(at), np.bool_)
    which = np.arange(len(at))
    for _ in range(_STEPS_MAX):
        kind = buffer[at]
        goes_on = at < end
        goes_on &= kind != _END
        if np.count_nonzero(goes_on) != len(which):
            which, at, end, kind = which[goes_on], at[goes_on], end[goes_on], kind[goes_on]
        if not which.size:
            break
        length = np.where(kind == _PADDING, 1, buffer[at + 1]).astype(np.int64)
        step = np.where(kind == _PADDING, 1, np.maximum(length, shortest))
        bad = step != length
        # The byte that would say the length may be behind the header too.
        bad |= np.where(kind == _PADDING, at, np.maximum(at + length - 1, at + 1)) >= end
        if np.count_nonzero(bad):
            broken[which[bad]] = True
            good = ~bad
            which, at, end, length = which[good], at[good], end[good], length[good]
        at = at + length
    return broken
