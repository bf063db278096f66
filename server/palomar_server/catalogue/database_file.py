"""The file of a SQLite database: made so that nobody else may read it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ROOM_BYTES = 1 << 16
"""Of SQLite's shared memory beside a database, and some pages."""
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def make_database_file(path: Path) -> None:
    """Make the file if there is none, mode 0600, and its directory if there is none, mode 0700.

    What SQLite puts beside the file gets the file's permissions.

    Args:
        path: absolute.

    Raises:
        OSError: it cannot be made; is something else than a file, as a symbolic link is; or it or
            its directory belongs to, or may be written by, somebody else.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # What lies beside the file is read as part of it: whoever may put something there may write.
    if _may_others_write(path.parent.stat()):
        raise OSError(
            f"{path.parent} may be written by others: name a directory that is this user's, with "
            "mode 0700, if what is in it is to be trusted"
        )
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is no regular file: move it away, or name another")
        if _may_others_write(status):
            raise OSError(
                f"{path} may be written by others: make it this user's, with mode 0600, if it is "
                "to be trusted"
            )
    finally:
        os.close(descriptor)


def is_disk_full(path: Path) -> bool:
    """Whether a file's disk has less room than SQLite needs to open it; it does not say so."""
    try:
        status = os.statvfs(path.parent)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < _ROOM_BYTES


def _may_others_write(status: os.stat_result) -> bool:
    return status.st_uid not in {0, os.geteuid()} or bool(status.st_mode & _WRITABLE_BY_OTHERS)
