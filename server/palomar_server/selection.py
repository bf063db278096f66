"""Which events of the ring a stream is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from palomar_server.table import Kind

if TYPE_CHECKING:
    from palomar_server.filters.compiled import CompiledFilter
    from palomar_server.table import Mask, Rows

_LOST = np.uint8(Kind.LOST)


class Selection(Protocol):
    """Which rows a stream is about."""

    def mask(self, rows: Rows) -> Mask:
        """Which rows are selected, shape (n,)."""


class FlowSelection:
    """Flows that a filter lets pass, and every loss notice; no event of another kind.

    Args:
        matching: the request's filters.
    """

    def __init__(self, matching: CompiledFilter) -> None:
        self._matching = matching

    def mask(self, rows: Rows) -> Mask:
        """Which rows are selected, shape (n,)."""
        mask = self._matching.mask(rows)
        mask &= rows["kind"] <= _LOST
        return mask


class KindSelection:
    """All events of one kind.

    Args:
        kind: which.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = np.uint8(kind)

    def mask(self, rows: Rows) -> Mask:
        """Which rows are selected, shape (n,)."""
        mask: Mask = rows["kind"] == self._kind
        return mask
