"""The facts about a recorded file, beside it, for whoever finds it without palomard."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from palomar_recorder.file_target import open_regular
from palomar_recorder.name import PARTIAL_SUFFIX, SIDECAR_SUFFIX
from palomar_recorder.storage import checked_file_name

if TYPE_CHECKING:
    from palomar_recorder.storage import Storage

_SIDECAR_BYTES_MAX = 1 << 22
"""Far more than any has."""


def write_sidecar(storage: Storage, file_name: str, text: str) -> str:
    """Write it in one step: readers see all of it, or what was there before. Its mode is 0600.

    Args:
        storage: with the file.
        file_name: of the file with the packets, as its target or the storage gave it; the sidecar
            has ".json" behind that.
        text: JSON; written as UTF-8.

    Returns:
        The sidecar's name.

    Raises:
        StorageError: it cannot be written.
    """
    name = checked_file_name(file_name) + SIDECAR_SUFFIX
    partial = name + PARTIAL_SUFFIX
    with storage.in_use(f"writing {name}") as directory_fd:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial, dir_fd=directory_fd)
        fd = os.open(
            partial,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
            dir_fd=directory_fd,
        )
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(fd)
            os.rename(partial, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        except OSError:
            os.unlink(partial, dir_fd=directory_fd)
            raise
        os.fsync(directory_fd)
    return name


def read_sidecar(storage: Storage, file_name: str) -> str:
    """What stands beside a file.

    Args:
        storage: with the file.
        file_name: of the file with the packets.

    Raises:
        StorageError: there is nothing that can be read.
    """
    name = checked_file_name(file_name) + SIDECAR_SUFFIX
    with storage.in_use(f"reading {name}") as directory_fd:
        fd = open_regular(name, os.O_RDONLY, directory_fd)
        with os.fdopen(fd, "rb") as file:
            content = file.read(_SIDECAR_BYTES_MAX)
    return content.decode(errors="replace")


def remove_sidecar(storage: Storage, file_name: str) -> None:
    """Remove what stands beside a file that is gone; none is no error.

    Args:
        storage: where the file was.
        file_name: of the file with the packets.

    Raises:
        StorageError: it cannot be removed.
    """
    name = checked_file_name(file_name) + SIDECAR_SUFFIX
    with storage.in_use(f"removing {name}") as directory_fd, contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory_fd)
