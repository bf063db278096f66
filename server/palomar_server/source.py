"""Where payloads come from, as the agent sees it: live capture, Cilium and replay are alike.

The agent calls `Source.read` in a loop, on a thread of the source's own. What a payload refers to
but does not carry comes between the batches, before the first payload that needs it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from palomar_bpf.batch import PayloadBatch
    from palomar_server.surroundings import Context


class End(enum.Enum):
    """The type of `END` alone, so that type checkers know it when they see it."""

    END = enum.auto()


END: Literal[End.END] = End.END
"""A source has nothing more to give, now or ever. Live capture never says so."""

CLOCK_INTERVAL_S = 10.0
"""How often a source tells the wall clock's offset while there is traffic: time daemons slew by at
most half a millisecond a second."""

SourceItem: TypeAlias = "PayloadBatch | Context | Literal[End.END]"
"""What a source gives; a context object (`surroundings`) is a dict."""


class Source(Protocol):
    """Gives payload batches and context objects in order."""

    def read(self, timeout_s: float | None = None) -> SourceItem | None:
        """The next item; None after `timeout_s` seconds (None: never) without one, and on `wake`.

        `END` once there is nothing more to come, and again on each call from then on. From one
        thread only.

        Raises:
            EventFileError: a recording is damaged from here on.
        """

    def wake(self) -> None:
        """Make the read under way, or else the next one, return None at once; from any thread."""

    def close(self) -> None:
        """Give everything back; reads return `END` from then on. Not while a read is under way."""


@runtime_checkable
class Attentive(Protocol):
    """A source that saves CPU by letting events gather for longer while nobody waits for them."""

    def attend(self, *, watched: bool) -> None:
        """Note whether somebody waits for events now; from any thread, and at once."""


@runtime_checkable
class Pausable(Protocol):
    """A source that can rest while nobody wants its payloads, at no cost to anybody.

    The agent calls these between reads, on the thread that reads, and never twice in a row; a
    source begins as if resumed. A source that rests is still read: it gives context as ever, and
    whatever payloads it took in before it came to rest.
    """

    def pause(self) -> None:
        """Rest: nothing runs for a packet any more.

        Raises:
            CaptureError: the source cannot go on; likewise for `resume`.
        """

    def resume(self) -> None:
        """Give payloads again, from those of now on; soon, since somebody waits for them."""
