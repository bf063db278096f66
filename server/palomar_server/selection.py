"""Which events of the ring a stream is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from palomar_server.filters.compiled import ROWS_AT_ONCE_MAX
from palomar_server.table import Kind

if TYPE_CHECKING:
    from palomar_server.filters.compiled import CompiledFilter
    from palomar_server.table import Mask
    from palomar_server.view import View

_LOST = np.uint8(Kind.LOST)


class Selection(Protocol):
    """Which rows a stream is about."""

    @property
    def kind(self) -> Kind:
        """What is delivered, and what a request's `number` counts then."""

    @property
    def tells_losses(self) -> bool:
        """Whether there is room for loss notices among what is delivered."""

    @property
    def rows_at_once(self) -> int:
        """How many rows to hand in at once, so that the loop goes on within milliseconds."""

    def mask(self, view: View) -> Mask:
        """Which rows are delivered, shape (n,)."""

    def surely_none(self, view: View) -> bool:
        """Whether a glance tells that no row is delivered; False means nothing.

        A thousand followers whose filters want dropped packets cost next to nothing by it, while
        none are dropped.
        """

    def passing(self, view: View) -> Mask:
        """Which rows pass the request's filters, shape (n,), loss notices aside.

        It is these that Hubble counts when it looks back, whatever their kind: somebody who asks
        for the last ten flows gets fewer where other events lie between them.
        """


class FlowSelection:
    """Flows that a filter lets pass, and every loss notice; no event of another kind.

    Args:
        matching: the request's filters.
    """

    kind = Kind.FLOW
    tells_losses = True

    def __init__(self, matching: CompiledFilter) -> None:
        self._matching = matching

    @property
    def rows_at_once(self) -> int:
        """See `CompiledFilter.rows_at_once`."""
        return self._matching.rows_at_once

    def surely_none(self, view: View) -> bool:
        """Whether a glance tells that no row is delivered; False means nothing."""
        return self._matching.surely_none(view)

    def mask(self, view: View) -> Mask:
        """Which rows are delivered, shape (n,)."""
        mask = self._matching.mask(view)
        if not view.only_flows:
            mask &= view.rows["kind"] <= _LOST
        return mask

    def passing(self, view: View) -> Mask:
        """Which rows pass the filters, shape (n,), whatever their kind; no loss notices."""
        mask = self._matching.mask(view)
        mask &= view.rows["kind"] != _LOST
        return mask


class KindSelection:
    """All events of one kind.

    Args:
        kind: which.
    """

    tells_losses = False
    rows_at_once = ROWS_AT_ONCE_MAX

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._number = np.uint8(kind)

    def surely_none(self, view: View) -> bool:
        """Whether a glance tells that no row is delivered; False means nothing."""
        return view.only_flows

    def mask(self, view: View) -> Mask:
        """Which rows are delivered, shape (n,)."""
        mask: Mask = view.rows["kind"] == self._number
        return mask

    def passing(self, view: View) -> Mask:
        """Every row, shape (n,), but loss notices: such requests have no filters."""
        mask: Mask = view.rows["kind"] != _LOST
        return mask
