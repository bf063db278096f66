"""The directory of recorded files: who may use it, what is in it, and files left by a crash."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from palomar_recorder.ending import WriteError
from palomar_recorder.file_target import FileTarget, open_regular, publish
from palomar_recorder.name import (
    PARTIAL_SUFFIX,
    SIDECAR_SUFFIX,
    InvalidNameError,
    check_file_name,
)
from palomar_recorder.pcap import PcapEncoder
from palomar_recorder.pcapng import PcapngEncoder
from palomar_recorder.space import Space
from palomar_recorder.whole_length import whole_length

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READ_BYTES = 1 << 20
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class StorageError(Exception):
    """A file cannot be made, found or removed; the text tells which, why, and what to do."""


class StorageFullError(StorageError):
    """There is no room for another file."""


class AdoptedFile(NamedTuple):
    """A file whose writer died."""

    file_bytes: int
    """Of one that held nothing whole, a header's: tools read that as a file without packets."""
    sha256: str
    """Lower-case hexadecimal."""


class Storage:
    """Recorded files of one daemon; thread-safe.

    Nothing is made or read before it is needed. No symbolic link is followed, at the directory's
    name or in it.

    Args:
        directory: made with mode 0700 when the first file is, with those above it.
        max_bytes: what all files may have together.
        free_min_bytes: what stays free in the file system.
        file_max_bytes: what each may have.
    """

    def __init__(
        self, directory: Path, *, max_bytes: int, free_min_bytes: int, file_max_bytes: int
    ) -> None:
        self.directory = directory
        self._file_max_bytes = file_max_bytes
        self._space = Space(
            max_bytes=max_bytes, free_min_bytes=free_min_bytes, count_bytes=self._count_bytes
        )

    @property
    def used_bytes(self) -> int:
        """What all files in the directory have now, those being written too.

        Raises:
            StorageError: the directory cannot be read, or is not fit to be used.
        """
        return self._space.recount()

    def create(self, stem: str, suffix: str) -> FileTarget:
        """Make a new file, mode 0600, which has ".partial" behind its name until it is finished.

        Args:
            stem: of the file's name, as by `file_stem`.
            suffix: of the format, ".pcap" or ".pcapng".

        Raises:
            StorageFullError: one of the limits is reached already.
            StorageError: the name is taken or cannot be one, or the directory is not fit.
        """
        file_name = checked_file_name(stem + suffix)
        self._make()
        with _told(f"recording to {self.directory / file_name}"), contextlib.ExitStack() as undo:
            directory_fd = self._open()
            undo.callback(os.close, directory_fd)
            self._space.recount()
            try:
                self._space.take(1, directory_fd)
            except WriteError as error:
                raise StorageFullError(str(error)) from error
            self._space.settle(1, 0)
            if _exists(file_name, directory_fd):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            # Against whoever looks for orphans, here or in another palomard, between the steps.
            with _alone(directory_fd):
                fd = os.open(
                    file_name + PARTIAL_SUFFIX,
                    os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
                    0o600,
                    dir_fd=directory_fd,
                )
                # Tells that somebody writes here, for as long as that one lives.
                fcntl.flock(fd, fcntl.LOCK_EX)
            undo.pop_all()
        return FileTarget(
            file_name,
            fd=fd,
            directory_fd=directory_fd,
            space=self._space,
            max_bytes=self._file_max_bytes,
        )

    def open(self, file_name: str) -> BinaryIO:
        """A finished file, for reading; the caller closes it.

        Raises:
            StorageError: it is not there, or not fit to be read.
        """
        checked_file_name(file_name)
        with self.in_use(f"reading {file_name}") as directory_fd:
            return os.fdopen(open_regular(file_name, os.O_RDONLY, directory_fd), "rb")

    def file_bytes(self, file_name: str) -> int | None:
        """Size of a finished file; None if it is not there."""
        try:
            with self.open(file_name) as file:
                return os.fstat(file.fileno()).st_size
        except StorageError:
            return None

    def delete(self, file_name: str) -> None:
        """Remove a finished file and its sidecar, or one whose writer is no more.

        None is no error.

        Raises:
            StorageError: it cannot be removed.
        """
        checked_file_name(file_name)
        if not self.directory.exists():
            return
        with self.in_use(f"removing {file_name}") as directory_fd:
            # The file last: what is left if we die in between is found again.
            names = [file_name + SIDECAR_SUFFIX, file_name]
            if _is_left(file_name + PARTIAL_SUFFIX, directory_fd):
                names.append(file_name + PARTIAL_SUFFIX)
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    size = os.stat(name, dir_fd=directory_fd, follow_symlinks=False).st_size
                    with self._space.still(-size):
                        os.unlink(name, dir_fd=directory_fd)
            os.fsync(directory_fd)

    def orphans(self) -> list[str]:
        """Names of files, with their ".partial", whose writer is no more; sorted.

        Raises:
            StorageError: the directory cannot be read.
        """
        if not self.directory.exists():
            return []
        with (
            self.in_use("looking for unfinished recordings") as directory_fd,
            _alone(directory_fd),
        ):
            return sorted(
                name
                for name in os.listdir(directory_fd)  # noqa: PTH208 - a descriptor
                if _is_partial(name) and _is_left(name, directory_fd)
            )

    def adopt(self, name: str) -> AdoptedFile:
        """Finish a file in the place of its writer: cut to its last whole packet, and renamed.

        Args:
            name: one of `orphans`, or without the ".partial".

        Raises:
            StorageError: it cannot be read or renamed, or its writer lives.
        """
        file_name = checked_file_name(name.removesuffix(PARTIAL_SUFFIX))
        partial = file_name + PARTIAL_SUFFIX
        with self.in_use(f"taking over {partial}") as directory_fd:
            fd = open_regular(partial, os.O_RDWR, directory_fd)
            # Unbuffered: what was read before must not be what the checksum is of.
            with os.fdopen(fd, "rb", buffering=0) as file:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                size = whole_length(file)
                os.ftruncate(fd, size)
                if size == 0:
                    size = _write_header(fd, file_name)
                os.fsync(fd)
                checksum = hashlib.sha256()
                file.seek(0)
                while piece := file.read(_READ_BYTES):
                    checksum.update(piece)
                publish(directory_fd, file_name, self._space.still())
            self._space.recount()
        return AdoptedFile(size, checksum.hexdigest())

    @contextlib.contextmanager
    def in_use(self, purpose: str) -> Iterator[int]:
        """The directory's descriptor for a while; system errors become `StorageError`.

        Args:
            purpose: what is done meanwhile, for errors: "reading x.pcap".

        Raises:
            StorageError: the directory is not there or not fit, or what is done there failed.
        """
        with _told(f"{purpose} in {self.directory}"):
            fd = self._open()
            try:
                yield fd
            finally:
                os.close(fd)

    def _make(self) -> None:
        with _told(f"making the directory {self.directory}"):
            # pathlib gives the mode to the last one only.
            for folder in reversed([self.directory, *self.directory.parents]):
                if not folder.exists():
                    with contextlib.suppress(FileExistsError):
                        folder.mkdir(mode=0o700)

    def _open(self) -> int:
        """The directory, if nobody but us and root can put anything into it."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self.directory, flags)
        except NotADirectoryError as error:
            raise StorageError(
                f"{self.directory} is no directory, or a symbolic link: name the directory itself "
                "in recordings_directory"
            ) from error
        status = os.fstat(fd)
        if status.st_uid in {0, os.geteuid()} and not status.st_mode & _WRITABLE_BY_OTHERS:
            return fd
        os.close(fd)
        raise StorageError(
            f"{self.directory} belongs to uid {status.st_uid} with mode "
            f"{stat.S_IMODE(status.st_mode):04o}, so that others may write to it: make it mode "
            "0700 and its owner the one who runs palomard"
        )

    def _count_bytes(self) -> int:
        if not self.directory.exists():
            return 0
        total = 0
        with self.in_use("counting bytes") as fd, os.scandir(fd) as entries:
            for entry in entries:
                # A file may go while we look.
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
        return total


def checked_file_name(file_name: str) -> str:
    """The name, if it is one of a file with packets.

    Raises:
        StorageError: it is not.
    """
    try:
        return check_file_name(file_name)
    except InvalidNameError as error:
        raise StorageError(str(error)) from error


@contextlib.contextmanager
def _told(purpose: str) -> Iterator[None]:
    """System errors as `StorageError`, with what was being done."""
    try:
        yield
    except BlockingIOError as error:
        raise StorageError(f"{purpose}: somebody is still writing to it") from error
    except OSError as error:
        raise StorageError(f"{purpose}: {error.strerror or error}") from error


def _write_header(fd: int, file_name: str) -> int:
    """Make an empty file one without packets, if there is room; its size."""
    header = (
        PcapngEncoder(snaplen_bytes=0, comment="", node_name="").begin()
        if file_name.endswith(".pcapng")
        else PcapEncoder(snaplen_bytes=0).begin()
    )
    try:
        return os.pwrite(fd, b"".join(header), 0)
    except OSError:
        os.ftruncate(fd, 0)
        return 0


@contextlib.contextmanager
def _alone(directory_fd: int) -> Iterator[None]:
    """Hold the directory's lock, which nobody holds for long."""
    fcntl.flock(directory_fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(directory_fd, fcntl.LOCK_UN)


def _exists(file_name: str, directory_fd: int) -> bool:
    try:
        os.stat(file_name, dir_fd=directory_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is_partial(name: str) -> bool:
    try:
        check_file_name(name.removesuffix(PARTIAL_SUFFIX))
    except InvalidNameError:
        return False
    return name.endswith(PARTIAL_SUFFIX)


def _is_left(name: str, directory_fd: int) -> bool:
    """Whether a partial file is plain and nobody holds it."""
    try:
        fd = open_regular(name, os.O_RDONLY, directory_fd)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its writer may have finished it since it was opened.
        there = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
        return os.path.samestat(there, os.fstat(fd))
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(fd)
