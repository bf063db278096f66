"""Room for recordings: what they may take together, and what they leave to others."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from palomar_recorder.ending import Ending, WriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


ENDS_BYTES = 64 << 10
"""Left free whatever the settings say, for the ends of files and what stands beside them: that is
written when the disk is full already, and says so. Some 2 KiB for each recording."""


class Space:
    """One directory's, for all recordings under way; thread-safe.

    Args:
        max_bytes: what all files may have together.
        free_min_bytes: what stays free in the file system; never less than `ENDS_BYTES`.
        count_bytes: counts what the files in the directory have now.
    """

    def __init__(
        self, *, max_bytes: int, free_min_bytes: int, count_bytes: Callable[[], int]
    ) -> None:
        self._max_bytes = max_bytes
        self._free_min_bytes = max(free_min_bytes, ENDS_BYTES)
        self._count_bytes = count_bytes
        self._lock = threading.Lock()
        self._used_bytes = 0
        # Taken, but perhaps not written yet.
        self._under_way_bytes = 0

    def room_bytes(self, fd: int) -> int:
        """About what may be written before one of the limits; not positive if one is passed.

        Args:
            fd: something in the file system that is written to.
        """
        with self._lock:
            return min(
                self._max_bytes - self._used_bytes, self._free_bytes(fd) - self._free_min_bytes
            )

    def take(self, size_bytes: int, fd: int) -> None:
        """Claim room before writing; `settle` must follow.

        Args:
            size_bytes: to be written.
            fd: something in the file system that is written to.

        Raises:
            WriteError: with `QUOTA` or `DISK_FULL`; nothing is claimed.
        """
        with self._lock:
            if self._used_bytes + size_bytes > self._max_bytes:
                # Somebody may have removed files. What others just write may count twice; at the
                # limit, too early is better than too late.
                self._used_bytes = self._count_bytes() + self._under_way_bytes
            if self._used_bytes + size_bytes > self._max_bytes:
                raise WriteError(
                    Ending.QUOTA,
                    f"recordings have {self._used_bytes:,} bytes, and recordings_max_bytes is "
                    f"{self._max_bytes:,}: delete some, or raise it",
                )
            free_bytes = self._free_bytes(fd)
            if free_bytes - size_bytes < self._free_min_bytes:
                raise WriteError(Ending.DISK_FULL, self._full(free_bytes))
            self._used_bytes += size_bytes
            self._under_way_bytes += size_bytes

    def settle(self, taken_bytes: int, written_bytes: int) -> None:
        """Tell what became of a claim."""
        with self._lock:
            self._under_way_bytes -= taken_bytes
            self._used_bytes -= taken_bytes - written_bytes

    def add(self, size_bytes: int) -> None:
        """Count bytes that came without a claim, or, negative, went."""
        with self._lock:
            self._used_bytes += size_bytes

    @contextlib.contextmanager
    def still(self, size_bytes: int = 0) -> Iterator[None]:
        """Nothing is counted meanwhile: a file that gets another name might be missed.

        Args:
            size_bytes: what comes, or, negative, goes meanwhile.
        """
        with self._lock:
            yield
            self._used_bytes += size_bytes

    def recount(self) -> int:
        """Count anew, and give what is used; includes what is being written."""
        with self._lock:
            self._used_bytes = self._count_bytes() + self._under_way_bytes
            return self._used_bytes

    def _full(self, free_bytes: int) -> str:
        """Why there is no room, in words."""
        free = f"{max(0, free_bytes):,} bytes are free in the file system"
        if self._free_min_bytes == ENDS_BYTES:
            return f"{free}, which the ends of recordings need: make room"
        floor = f"recordings_free_min_bytes is {self._free_min_bytes:,}"
        return f"{free}, and {floor}: make room, or lower it"

    def _free_bytes(self, fd: int) -> int:
        """What users other than root may write, when all that is claimed is written."""
        status = os.fstatvfs(fd)
        return status.f_bavail * status.f_frsize - self._under_way_bytes
