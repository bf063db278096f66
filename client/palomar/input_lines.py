"""The lines of a file, from its beginning or from its end, in bounded memory.

The newest of many flows stand at the end of a file: whoever wants the last few need not read all.
"""

import os
from collections.abc import Iterator
from typing import BinaryIO, Final

_BLOCK_BYTES: Final = 256 << 10


def lines_forwards(file: BinaryIO, bytes_max: int) -> Iterator[bytes | None]:
    """Each line without its end, as soon as it is there; None for one over `bytes_max`."""
    while line := file.readline(bytes_max + 1):
        if line.endswith(b"\n"):
            yield line[:-1]
        elif len(line) <= bytes_max:
            yield line
        else:
            yield None
            while line and not line.endswith(b"\n"):
                line = file.readline(bytes_max)


def lines_backwards(file: BinaryIO, bytes_max: int) -> Iterator[bytes | None]:
    """The same lines, the last one first; what is written meanwhile is left out.

    Args:
        file: One that can seek.
        bytes_max: No longer lines are kept; each is a None.
    """
    position = file.seek(0, os.SEEK_END)
    line, is_long = b"", False  # what is known of the line in work: its end, or that it is long
    is_last = True  # behind the end of the last line is no other one
    while position:
        size = min(_BLOCK_BYTES, position)
        position = file.seek(position - size)
        beginning, *later = (file.read(size) + line).split(b"\n")
        for whole in reversed(later):
            if whole or is_long or not is_last:
                yield None if is_long or len(whole) > bytes_max else whole
            is_last = is_long = False
        line = beginning
        if len(line) > bytes_max:
            is_long, line = True, b""
    if line or is_long or not is_last:
        yield None if is_long else line
