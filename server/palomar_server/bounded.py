"""A mapping that never holds more than it may: what is beyond the limit is refused and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class BoundedMap(Generic[K, V]):
    """Values by key. One thread writes, any may read.

    Args:
        entries_max: how many keys may be there.
    """

    def __init__(self, entries_max: int) -> None:
        self._entries: dict[K, V] = {}
        self._entries_max = entries_max
        self.generation = 0
        """Grows with every change; what was made of the values before is then stale."""
        self.refused = 0
        """Keys that found no room."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value of a key; None if there is none."""
        return self._entries.get(key)

    def put(self, key: K, value: V | None) -> None:
        """Set the value of a key, or with None forget it."""
        if self._entries.get(key) == value:
            return
        if value is None:
            del self._entries[key]
        elif key in self._entries or len(self._entries) < self._entries_max:
            self._entries[key] = value
        else:
            self.refused += 1
            return
        self.generation += 1
