"""Where a sink writes to: a file, or the reader of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Buffer, Sequence


class Target(Protocol):
    """Used by its sink's thread alone, which may wait in here."""

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Take some buffers, all or none of them.

        Raises:
            WriteError: it takes none of them, and no more; what it took before stays readable.
        """

    def finish(self, buffers: Sequence[Buffer]) -> None:
        """Take the last buffers, as far as possible, and make all of it last. Never raises."""
