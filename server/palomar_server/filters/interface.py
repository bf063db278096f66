"""FlowFilter.interface: where a packet was seen, by index and name of the link."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from palomar_proto.flow_filter.interface import InterfacePattern
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.interned import Interned
    from palomar_server.surroundings import Interface
    from palomar_server.table import Mask
    from palomar_server.view import View


def compile_interface(field: FieldFilter) -> Predicate:
    """Flows seen at one of the interfaces."""
    return _InterfacePredicate(field.parsed, field.surroundings.interfaces)


class _InterfacePredicate:
    """A look-up table over rows of the interface table, which the agent's thread may change."""

    def __init__(
        self, patterns: tuple[InterfacePattern, ...], interfaces: Interned[Interface]
    ) -> None:
        self._patterns = patterns
        self._interfaces = interfaces
        self._matches = np.zeros(1, np.bool_)
        self._generation = interfaces.generation

    def _matches_row(self, row: int) -> bool:
        interface = self._interfaces.value(row)
        return any(one.matches(interface.index, interface.name) for one in self._patterns)

    def __call__(self, view: View) -> Mask:
        # First: what is asked from here on may already be newer, and is then asked again.
        if self._generation != (generation := self._interfaces.generation):
            # Row 0 is no interface, and matches nothing.
            self._matches = np.zeros(1, np.bool_)
            self._generation = generation
        known, now = len(self._matches), len(self._interfaces)
        if known < now:
            fresh = [self._matches_row(row) for row in range(known, now)]
            self._matches = np.append(self._matches, np.array(fresh, np.bool_))
        # Clipped: a row that the writer is overwriting may name an interface newer than the table.
        mask: Mask = self._matches.take(view.column("interface"), mode="clip")
        return mask
