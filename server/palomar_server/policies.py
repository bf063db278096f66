"""Network policies of local endpoints: which rules were behind a verdict.

A rule's key is the most specific that the datapath looked up; 0 in it is a wildcard. The verdict's
match type says which parts of the packet made the match, and so the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from palomar_server.bounded import BoundedMap

if TYPE_CHECKING:
    from collections.abc import Mapping


class PolicyKey(NamedTuple):
    """What a rule is about; 0 is a wildcard."""

    egress: bool
    identity: int
    protocol: int
    port: int


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """What an endpoint's policy says of a key."""

    rules: tuple[tuple[str, ...], ...]
    """Labels of each rule the entry was made of."""
    revision: int
    log: tuple[str, ...]
    """Texts that the rules have put on flows they decide."""


# By match type: whether identity, protocol and port are parts of the key. Others use all three.
_PARTS = {
    1: (True, False, False),
    3: (False, True, True),
    4: (False, False, False),
    5: (True, True, False),
    6: (False, True, False),
}
_ALL_PARTS = (True, True, True)


class Policies:
    """Policy entries by endpoint and key. Belongs to the agent's thread; others may read.

    Args:
        entries_max: of one endpoint; more are refused and counted.
    """

    def __init__(self, entries_max: int = 16_384) -> None:
        self._entries_max = entries_max
        self._of: BoundedMap[int, Mapping[PolicyKey, PolicyEntry]] = BoundedMap(1 << 16)
        self.refused = 0
        """Entries that found no room."""

    @property
    def generation(self) -> int:
        """Grows when an endpoint gets another policy."""
        return self._of.generation

    def put(self, endpoint_id: int, entries: Mapping[PolicyKey, PolicyEntry] | None) -> None:
        """Set the whole policy of an endpoint, or with None forget it."""
        if entries is not None and len(entries) > self._entries_max:
            self.refused += len(entries) - self._entries_max
            entries = dict(list(entries.items())[: self._entries_max])
        self._of.put(endpoint_id, entries)

    def entry(self, endpoint_id: int, key: PolicyKey, match_type: int) -> PolicyEntry | None:
        """What made a verdict at an endpoint.

        Args:
            endpoint_id: whose policy it was.
            key: of the packet: the remote identity, the protocol, the destination port.
            match_type: the verdict's.
        """
        entries = self._of.get(endpoint_id)
        if entries is None:
            return None
        identity, protocol, port = _PARTS.get(match_type, _ALL_PARTS)
        return entries.get(
            PolicyKey(
                key.egress,
                key.identity if identity else 0,
                key.protocol if protocol else 0,
                key.port if port else 0,
            )
        )
