"""Event files: recorded payload batches, with what is needed to understand them later.

In: batches from a source and context objects from the agent (writer), or a file (reader). Out: the
file, or the same batches and objects in the same order. The agent records through the writer while
it captures; `replay` plays the reader. The format is that of `event_frame`.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Any, Self

from palomar_server import event_frame
from palomar_server.event_frame import FRAME, MAGIC, VERSION_AT, FrameError, FrameKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from palomar_bpf.batch import Loss, PayloadBatch


class EventFileError(Exception):
    """An event file cannot be made or read, or is damaged.

    Args:
        path: the file.
        offset: the byte where the faulty frame starts.
        what: what is wrong.
    """

    def __init__(self, path: Path, offset: int, what: str) -> None:
        super().__init__(f"{path}: {what} (at byte {offset:,})" if offset else f"{path}: {what}")
        self.path = path
        self.offset = offset
        self.what = what


class EventFileWriter:
    """Writes an event file, and never lets trouble with the disk reach the capture.

    Each batch goes to the kernel in one call, so that a killed daemon loses none. Once something
    did not fit or failed, nothing more is written: a file has no holes, only an end.
    """

    def __init__(self, path: Path, max_bytes: int, *, overwrite: bool = False) -> None:
        """Make the file, readable and writable by its owner only.

        Args:
            path: must not exist, not even as a symbolic link.
            max_bytes: size the file does not grow beyond.
            overwrite: replace a regular file that exists.

        Raises:
            EventFileError: the file exists, or cannot be made.
        """
        self.path = path
        self.size_bytes = 0
        self.events_written = 0
        self.events_lost = 0
        """Events of batches that came after writing had `stopped`."""
        self.stopped: str | None = None
        """Why nothing more is written; None while all is well."""
        self._max_bytes = max_bytes
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            if overwrite:
                _remove_regular(path)
            self._fd = os.open(path, flags, 0o600)
        except FileExistsError as error:
            what = "exists already; move it away, or record to a file of another name"
            raise EventFileError(path, 0, what) from error
        except OSError as error:
            raise EventFileError(path, 0, f"cannot be made: {error.strerror}") from error
        self._append([MAGIC])

    def write_context(self, context: dict[str, Any]) -> bool:
        """Append a context object; False if writing has `stopped`.

        Raises:
            ValueError: it cannot be written as JSON, or not in `event_frame.FRAME_BYTES_MAX`.
        """
        return self._append(event_frame.encode_context(context))

    def write_batch(self, batch: PayloadBatch) -> bool:
        """Append a batch and its losses; if writing has `stopped`, count its events and be False.

        Raises:
            ValueError: one payload alone is longer than `event_frame.FRAME_BYTES_MAX`.
        """
        complete = True
        for part in event_frame.parts_that_fit(batch):
            if self.stopped is None and self._append(event_frame.encode_batch(part)):
                self.events_written += len(part)
            else:
                self.events_lost += len(part)
                complete = False
        return complete

    def _append(self, buffers: event_frame.Buffers) -> bool:
        """Write whole frames or nothing; False if nothing."""
        wanted_bytes = sum(map(len, buffers))
        if self.stopped is None and self.size_bytes + wanted_bytes > self._max_bytes:
            self.stopped = f"the limit of {self._max_bytes:,} bytes is reached"
        if self.stopped is not None:
            return False
        try:
            _write_all(self._fd, buffers)
        except OSError as error:
            self.stopped = f"cannot be written: {error.strerror}"
            # Should this fail as well: readers end cleanly at half a frame.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size_bytes)
            return False
        self.size_bytes += wanted_bytes
        return True

    def close(self) -> None:
        """Close the file; batches written later count as lost."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self.stopped is None:
            self.stopped = "closed"


def _remove_regular(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    # A recording in the place of, say, /dev/null would break whoever else uses that name.
    if not stat.S_ISREG(found.st_mode):
        raise EventFileError(path, 0, "is no regular file, and is not overwritten")
    path.unlink()


def _write_all(fd: int, buffers: event_frame.Buffers) -> None:
    left = [memoryview(buffer) for buffer in buffers]
    while left:
        written = os.writev(fd, left)
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


class EventFileReader:
    """Reads an event file from front to back: iterate over it, once.

    Yields `PayloadBatch` (its buffer read-only, payloads back to back) and context objects (dict).
    Iteration raises `EventFileError` where the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            EventFileError: it cannot be opened, or is no event file of this version.
        """
        self.path = path
        self.truncated = False
        """The file ended within a frame, as a killed writer leaves it; all before that was read."""
        self._offset = 0
        self._losses: tuple[Loss, ...] = ()
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise EventFileError(path, 0, f"cannot be opened: {error.strerror}") from error
        try:
            self._read_magic()
        except EventFileError:
            self._file.close()
            raise

    def __iter__(self) -> Iterator[PayloadBatch | dict[str, Any]]:
        return self

    def __next__(self) -> PayloadBatch | dict[str, Any]:
        while (frame := self._read_frame()) is not None:
            kind, body = frame
            try:
                item = self._decode(kind, body)
            except FrameError as error:
                raise self._error(str(error)) from error
            self._offset += FRAME.size + len(body)
            if item is not None:
                return item
        self.truncated |= bool(self._losses)
        raise StopIteration

    def _decode(self, kind: int, body: bytes) -> PayloadBatch | dict[str, Any] | None:
        losses, self._losses = self._losses, ()
        if losses and kind != FrameKind.BATCH:
            raise FrameError("losses are not followed by their batch")
        if kind == FrameKind.BATCH:
            return event_frame.decode_batch(body, losses)
        if kind == FrameKind.CONTEXT:
            return event_frame.decode_context(body)
        self._losses = event_frame.decode_losses(body)
        return None

    def _read_magic(self) -> None:
        found = self._read(len(MAGIC))
        if found[:VERSION_AT] != MAGIC[:VERSION_AT] or len(found) < len(MAGIC):
            raise self._error("is no event file")
        if found != MAGIC:
            ours = MAGIC[VERSION_AT]
            what = f"is of version {found[VERSION_AT]}, and this program reads {ours}"
            raise self._error(what)
        self._offset = len(MAGIC)

    def _read_frame(self) -> tuple[int, bytes] | None:
        """Kind and body of the next frame; None at the end."""
        head = self._read(FRAME.size)
        if len(head) < FRAME.size:
            self.truncated |= bool(head)
            return None
        kind, body_bytes = FRAME.unpack(head)
        if kind not in list(FrameKind) or any(head[1:4]):
            raise self._error(f"no frame opens with the bytes {head[:4].hex(' ')}")
        is_loss = kind == FrameKind.LOSS
        limit = event_frame.LOSS_BYTES_MAX if is_loss else event_frame.FRAME_BYTES_MAX
        if body_bytes > limit:
            raise self._error(f"a frame of {body_bytes:,} bytes exceeds the maximum {limit:,}")
        body = self._read(body_bytes)
        if len(body) < body_bytes:
            self.truncated = True
            return None
        return kind, body

    def _read(self, size_bytes: int) -> bytes:
        try:
            return self._file.read(size_bytes)
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror}") from error

    def _error(self, what: str) -> EventFileError:
        return EventFileError(self.path, self._offset, what)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
