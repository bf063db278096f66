"""Why a recording ends."""

from __future__ import annotations

import enum


class Ending(enum.Enum):
    """The names are those of palomar.v1.RecordingEnd without its prefix."""

    STOPPED = "stopped"
    PACKETS = "packets"
    BYTES = "bytes"
    DURATION = "duration"
    CALLER_GONE = "caller gone"
    SHUTDOWN = "shutdown"
    FILE_SIZE = "file size"
    QUOTA = "quota"
    DISK_FULL = "disk full"
    ERROR = "error"
    INTERRUPTED = "interrupted"

    @property
    def is_failure(self) -> bool:
        """Whether nobody wished for it: the recording counts as failed, and says so."""
        return self in _FAILURES


_FAILURES = frozenset({Ending.QUOTA, Ending.DISK_FULL, Ending.ERROR})


class WriteError(Exception):
    """A target takes no more.

    Args:
        ending: how the recording ends by it.
        message: in words, with the limit or the fault that it is about.
    """

    def __init__(self, ending: Ending, message: str) -> None:
        super().__init__(message)
        self.ending = ending
