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

    @property
    def is_want_of_room(self) -> bool:
        """Whether there was no room for all that was to be written; there may be for less."""
        return self in _WANT_OF_ROOM


_FAILURES = frozenset({Ending.QUOTA, Ending.DISK_FULL, Ending.ERROR})
_WANT_OF_ROOM = frozenset({Ending.FILE_SIZE, Ending.QUOTA, Ending.DISK_FULL})


class WriteError(Exception):
    """A target did not take what was to be written.

    Args:
        ending: how the recording ends by it.
        message: in words, with the limit or the fault that it is about.
    """

    def __init__(self, ending: Ending, message: str) -> None:
        super().__init__(message)
        self.ending = ending
