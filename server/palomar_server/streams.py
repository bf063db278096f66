"""The streams that are open: how many may be, from all and from each peer, and who is told."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from palomar_server.errors import Exhausted, Stopping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palomar_server.peer import Peer

DEFAULT_STREAMS_MAX = 1_024
"""A waiting stream takes some 20 KiB, nearly all of it for its connection."""
DEFAULT_STREAMS_MAX_PER_PEER = 256
"""One client, or one broken one, leaves room for others; a portal's server is one peer."""


class Audience(Protocol):
    """Is told who follows, so that events need be captured only while somebody does.

    Called on the loop's thread, which must not wait.
    """

    def acquire(self) -> None:
        """One more stream follows."""

    def release(self) -> None:
        """One stream that followed has ended."""


class Streams:
    """Lets streams in and counts them.

    Args:
        streams_max: streams at once.
        streams_max_per_peer: of them from one peer, see `Peer.who`.
        audience: is told of those that follow.
    """

    def __init__(
        self,
        *,
        streams_max: int = DEFAULT_STREAMS_MAX,
        streams_max_per_peer: int = DEFAULT_STREAMS_MAX_PER_PEER,
        audience: Audience | None = None,
    ) -> None:
        self._streams_max = streams_max
        self._streams_max_per_peer = streams_max_per_peer
        self._audience = audience
        self._by_peer: Counter[str] = Counter()
        self.stopping = False
        """Whether no more are let in."""
        self.refused = 0
        """Streams for which there was no room."""

    def __len__(self) -> int:
        return self._by_peer.total()

    @property
    def limit(self) -> int:
        """How many may be open at once."""
        return self._streams_max

    @contextmanager
    def admitted(self, peer: Peer) -> Iterator[None]:
        """One stream, from its request to its end.

        Raises:
            Exhausted: there are too many; names the setting.
            Stopping: the server ends.
        """
        if self.stopping:
            raise Stopping
        if len(self) >= self._streams_max:
            self.refused += 1
            raise Exhausted(f"{self._streams_max} streams are open, which is streams_max")
        who = peer.who
        if self._by_peer[who] >= self._streams_max_per_peer:
            self.refused += 1
            raise Exhausted(
                f"{self._streams_max_per_peer} streams are open from {who}, which is "
                "streams_max_per_peer"
            )
        self._by_peer[who] += 1
        try:
            yield
        finally:
            self._by_peer[who] -= 1
            if not self._by_peer[who]:
                del self._by_peer[who]

    @contextmanager
    def heard(self, *, follow: bool) -> Iterator[None]:
        """One that is served, so that the audience knows of it if it follows."""
        audience = self._audience if follow else None
        if audience is not None:
            audience.acquire()
        try:
            yield
        finally:
            if audience is not None:
                audience.release()
