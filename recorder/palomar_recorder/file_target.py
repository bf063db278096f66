"""A file that is being recorded: whole packets only, within its limits, named when complete.

It is written under its name with ".partial" behind, and gets its name without ever taking that of
another. Its checksum is of what the file has, read back: while nothing waits to be written, so
that a burst finds the thread writing, or at the end.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING

from palomar_recorder.ending import Ending, WriteError
from palomar_recorder.name import PARTIAL_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from typing_extensions import Buffer  # of collections.abc from Python 3.12 on

    from palomar_recorder.space import Space

# Linux takes so many buffers in one go (IOV_MAX, limits.h).
_BUFFERS_MAX = 1_024
_READ_BYTES = 1 << 20
_LINKS_UNSUPPORTED = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class FileTarget:
    """A file of `Storage`; see `Target`.

    Args:
        file_name: its name once it is complete.
        fd: of the file, new and open for reading and writing; the target closes it.
        directory_fd: of the directory it is in; the target closes it.
        space: limits of all files together.
        max_bytes: size that packets do not pass. What stands behind all packets may, by little.
    """

    def __init__(
        self, file_name: str, *, fd: int, directory_fd: int, space: Space, max_bytes: int
    ) -> None:
        self.file_name = file_name
        self.file_bytes = 0
        """Size up to now."""
        self.sha256 = ""
        """Of the whole file, lower-case hexadecimal; empty until `finish` has run."""
        self.fault = ""
        """What went wrong at the end, in words; empty if nothing did."""
        self._fd = fd
        self._directory_fd = directory_fd
        self._space = space
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()
        self._hashed_bytes = 0
        self._closed = False

    @property
    def room_bytes(self) -> int:
        """About how much more it takes; never negative."""
        room_bytes = min(self._max_bytes - self.file_bytes, self._space.room_bytes(self._fd))
        return max(0, room_bytes)

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append all of the buffers.

        Raises:
            WriteError: with `FILE_SIZE`, `QUOTA`, `DISK_FULL` or `ERROR`; the file is as before.
        """
        views = _views(buffers)
        size_bytes = sum(view.nbytes for view in views)
        if self.file_bytes + size_bytes > self._max_bytes:
            raise WriteError(
                Ending.FILE_SIZE,
                f"the file has {self.file_bytes:,} bytes, and recording_max_bytes is "
                f"{self._max_bytes:,}",
            )
        self._space.take(size_bytes, self._fd)
        written_bytes = 0
        try:
            self._append(views)
            written_bytes = size_bytes
        except OSError as error:
            raise WriteError(_ending(error), f"{self.file_name}: {error.strerror}") from error
        finally:
            self._space.settle(size_bytes, written_bytes)

    def catch_up(self) -> bool:
        """Bring the checksum nearer to the file's end, by at most 1 MiB.

        Returns:
            Whether it is worth calling again at once.
        """
        if self.file_bytes - self._hashed_bytes < _READ_BYTES:
            return False
        try:
            self._hash_next()
        except OSError:
            return False  # `finish` will meet it again, and tell
        return self.file_bytes - self._hashed_bytes >= _READ_BYTES

    def finish(self, buffers: Sequence[Buffer]) -> None:
        """Append the last buffers, make the file last, and give it its name; faults: `fault`."""
        if self._closed:
            return
        before_bytes = self.file_bytes
        self._try("its end could not be written", lambda: self._append(_views(buffers)))
        self._space.add(self.file_bytes - before_bytes)
        self._try("it could not be written to disk", lambda: os.fsync(self._fd))
        self._try("it could not be read back for its checksum", self._hash_rest)
        self._try("it could not be given its name", self._publish)
        self._close()

    def discard(self) -> None:
        """Remove the file instead of finishing it: the recording never began."""
        if self._closed:
            return
        with contextlib.suppress(OSError):
            os.unlink(self.file_name + PARTIAL_SUFFIX, dir_fd=self._directory_fd)
            self._space.add(-self.file_bytes)
        self._close()

    def _append(self, views: list[memoryview]) -> None:
        """Write all of it, or cut off what was written of it and raise OSError."""
        at = self.file_bytes
        index = 0
        try:
            while index < len(views):
                count = os.pwritev(self._fd, views[index : index + _BUFFERS_MAX], at)
                at += count
                while index < len(views) and count >= views[index].nbytes:
                    count -= views[index].nbytes
                    index += 1
                if count:
                    views[index] = views[index][count:]
        except OSError:
            # A failing disk may refuse this, too; a reader then finds half a packet at the end.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.file_bytes)
            raise
        self.file_bytes = at

    def _hash_next(self) -> None:
        wanted_bytes = min(_READ_BYTES, self.file_bytes - self._hashed_bytes)
        piece = os.pread(self._fd, wanted_bytes, self._hashed_bytes)
        if not piece:
            raise OSError(errno.EIO, f"cut to {self._hashed_bytes:,} bytes by somebody else")
        self._hash.update(piece)
        self._hashed_bytes += len(piece)

    def _hash_rest(self) -> None:
        while self._hashed_bytes < self.file_bytes:
            self._hash_next()
        self.sha256 = self._hash.hexdigest()

    def _publish(self) -> None:
        publish(self._directory_fd, self.file_name, self._space.still())

    def _try(self, what: str, step: Callable[[], None]) -> None:
        """Run a step of the end; the first that fails is told, and none keeps others from it."""
        try:
            step()
        except OSError as error:
            self.fault = self.fault or f"{self.file_name}: {what}: {error.strerror}"

    def _close(self) -> None:
        self._closed = True
        for fd in (self._fd, self._directory_fd):
            with contextlib.suppress(OSError):
                os.close(fd)


def publish(directory_fd: int, file_name: str, guard: AbstractContextManager[None]) -> None:
    """Take the ".partial" off a file's name, and make that last.

    Args:
        directory_fd: of the directory it is in.
        file_name: the name without it.
        guard: entered while the names change.

    Raises:
        OSError: FileExistsError if another file has that name, which stays.
    """
    with guard:
        _take_name(directory_fd, file_name)
    os.fsync(directory_fd)


def _take_name(directory_fd: int, file_name: str) -> None:
    partial = file_name + PARTIAL_SUFFIX
    try:
        # Renaming would take the place of another file.
        os.link(
            partial,
            file_name,
            src_dir_fd=directory_fd,
            dst_dir_fd=directory_fd,
            follow_symlinks=False,
        )
    except FileExistsError:
        # Both names are the same file's if palomard died between the two steps.
        mine = os.stat(partial, dir_fd=directory_fd, follow_symlinks=False)
        other = os.stat(file_name, dir_fd=directory_fd, follow_symlinks=False)
        if not os.path.samestat(mine, other):
            raise
        os.unlink(partial, dir_fd=directory_fd)
    except OSError as error:
        if error.errno not in _LINKS_UNSUPPORTED:
            raise
        # A file system without links, as FAT. Nobody else may write to the directory, so that the
        # answer stays true.
        with contextlib.suppress(FileNotFoundError):
            os.stat(file_name, dir_fd=directory_fd, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(partial, file_name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
    else:
        os.unlink(partial, dir_fd=directory_fd)


def open_regular(file_name: str, flags: int, directory_fd: int) -> int:
    """Open a file that is there, if it is a plain one and no link to something else.

    Raises:
        OSError: it cannot be opened, or is something else.
    """
    # O_NONBLOCK: opening a pipe would wait for its other end.
    fd = os.open(
        file_name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory_fd
    )
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a plain file", file_name)
    return fd


def _views(buffers: Sequence[Buffer]) -> list[memoryview]:
    """The buffers as bytes, without empty ones."""
    views = [memoryview(buffer) for buffer in buffers]
    return [view.cast("B") for view in views if view.nbytes]


def _ending(error: OSError) -> Ending:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Ending.DISK_FULL
    return Ending.FILE_SIZE if error.errno == errno.EFBIG else Ending.ERROR
