"""Where a recording goes that is streamed to its caller: a bounded buffer between two threads."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from palomar_recorder.ending import Ending, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from palomar_recorder.encoder import Buffer

PIECE_BYTES_MAX = 256 << 10
"""Of one message: far below the 4 MiB that clients of gRPC take unless told otherwise."""
_HELD_BYTES_MAX = 4 << 20
"""What waits for the reader; behind it the sink's queue begins."""


class StreamTarget:
    """A `palomar_recorder.target.Target` that a coroutine reads.

    Args:
        held_bytes_max: the writer waits while more than this has not been read.
    """

    def __init__(self, *, held_bytes_max: int = _HELD_BYTES_MAX) -> None:
        self.on_news: Callable[[], None] = lambda: None
        """Called when there is more to read, or the end came; on the sink's thread."""
        self._held_bytes_max = held_bytes_max
        self._pieces: deque[bytes] = deque()
        self._held_bytes = 0
        self._changed = threading.Condition()
        self._abandoned = False
        self._taken = 0
        self._taken_before = 0
        self.finished = False
        """Whether nothing comes any more; what came may still be there."""
        self.total_bytes = 0
        """Handed over so far."""

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Take some buffers, once there is room; see `Target.write`.

        Raises:
            WriteError: the reader has gone.
        """
        content = b"".join(buffers)
        with self._changed:
            # One larger than the bound passes alone.
            while self._held_bytes and self._held_bytes + len(content) > self._held_bytes_max:
                if self._abandoned:
                    break
                self._changed.wait()
            if self._abandoned:
                raise WriteError(Ending.CALLER_GONE, "the caller has gone")
            self._put(content)
        self.on_news()

    def finish(self, buffers: Sequence[Buffer]) -> None:
        """Take the last buffers, whether there is room or not; see `Target.finish`."""
        with self._changed:
            if not self._abandoned:
                self._put(b"".join(buffers))
            self.finished = True
        self.on_news()

    def take(self) -> bytes | None:
        """The next piece; None while there is none."""
        with self._changed:
            if not self._pieces:
                return None
            piece = self._pieces.popleft()
            self._held_bytes -= len(piece)
            self._taken += 1
            self._changed.notify_all()
            return piece

    def abandon(self) -> None:
        """Nobody reads any more: what waits is thrown away, and writing fails."""
        with self._changed:
            self._abandoned = True
            self._pieces.clear()
            self._held_bytes = 0
            self._changed.notify_all()

    def give_up(self) -> None:
        """Abandon it, if nothing was taken since this was called before, or ever."""
        if self._taken == self._taken_before:
            self.abandon()
        self._taken_before = self._taken

    def _put(self, content: bytes) -> None:
        self._held_bytes += len(content)
        self.total_bytes += len(content)
        view = memoryview(content)
        self._pieces.extend(
            bytes(view[start : start + PIECE_BYTES_MAX])
            for start in range(0, len(content), PIECE_BYTES_MAX)
        )
