"""Which version answered, as servers of Hubble's API say in the metadata of every answer.

In: the metadata of a call, before or behind its answers. Out: a `ServerVersion`, kept for the
channel in `ServerVersions`. Used by both clients; the command line compares it with its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NODE_VERSION_KEY: Final = "hubble-server-version"
"""Metadata key by which a node says its version."""

RELAY_VERSION_KEY: Final = "hubble-relay-version"
"""Metadata key by which a relay says its version."""


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """What a server said about its version: text as it came, usually `MAJOR.MINOR.PATCH+gREV`.

    Attributes:
        node: Of a server that sees flows itself; `None` where it said none.
        relay: Of one that asks such servers; `None` likewise.
    """

    node: str | None = None
    relay: str | None = None

    def __str__(self) -> str:
        return " ".join(text for text in (self.node, self.relay) if text)


def read_server_version(
    metadata: Iterable[tuple[str, str | bytes]] | None,
) -> ServerVersion | None:
    """Find the version in the metadata of an answer; `None` where there is none.

    Of a key that stands there several times the first one counts.
    """
    found: dict[str, str] = {}
    for key, value in metadata or ():
        if key in {NODE_VERSION_KEY, RELAY_VERSION_KEY}:
            found.setdefault(key, value if isinstance(value, str) else value.decode("latin-1"))
    if not found:
        return None
    return ServerVersion(found.get(NODE_VERSION_KEY), found.get(RELAY_VERSION_KEY))


class ServerVersions:
    """Remembers what the last answer on a channel said; a server may be updated meanwhile.

    Attributes:
        last: `None` until an answer came that said something.
    """

    def __init__(self) -> None:
        self.last: ServerVersion | None = None

    def note(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> None:
        """Take in the metadata of an answer."""
        self.last = read_server_version(metadata) or self.last
