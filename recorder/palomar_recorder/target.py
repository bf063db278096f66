"""Where a sink writes to: a file, or the reader of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_recorder.encoder import Buffer


class Target(Protocol):
    """Used by its sink's thread alone, which may wait in here."""

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Take some buffers, all or none of them.

        Raises:
            WriteError: it took none of them; what it took before stays readable. Less may still
                have room, see `Ending.is_want_of_room`.
        """

    def finish(self, buffers: Sequence[Buffer]) -> None:
        """Take the last buffers, as far as possible, and make all of it last. Never raises."""


@runtime_checkable
class StoredTarget(Target, Protocol):
    """One that has limits, and keeps what it takes."""

    fault: str
    """What went wrong in `finish`, in words; empty if nothing did."""

    @property
    def room_bytes(self) -> int:
        """About how much more it takes: near that, it is given little at a time."""

    def catch_up(self) -> bool:
        """Do some of what else would wait for `finish`; called while nothing is to be written.

        Returns:
            Whether there is more of it to do.
        """
