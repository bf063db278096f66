"""Conditions on endpoints: asked once for each, and looked up for all rows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_server.endpoints import Endpoint, EndpointTable
    from palomar_server.table import Mask
    from palomar_server.view import View


class EndpointPredicate:
    """Rows whose endpoint satisfies a condition: a look-up table over endpoint rows.

    The table grows as endpoints come, and is built anew when rows get another meaning.

    Args:
        side: `source` or `destination`.
        endpoints: the table that rows point into; the agent's thread may change it meanwhile.
        condition: asked once for each endpoint.
    """

    def __init__(
        self, side: str, endpoints: EndpointTable, condition: Callable[[Endpoint], bool]
    ) -> None:
        self._column = f"{side}_endpoint"
        self._endpoints = endpoints
        self._condition = condition
        self._matches = np.zeros(0, np.bool_)
        self._generation = endpoints.generation

    def __call__(self, view: View) -> Mask:
        """Which rows match, shape (n,)."""
        # First: what is asked from here on may already be newer, and is then asked again.
        if self._generation != (generation := self._endpoints.generation):
            self._matches = np.zeros(0, np.bool_)
            self._generation = generation
        known, now = len(self._matches), len(self._endpoints)
        if known < now:
            fresh = [self._condition(one) for one in self._endpoints.endpoints()[known:now]]
            self._matches = np.append(self._matches, np.array(fresh, np.bool_))
        # Clipped: a row that the writer is overwriting may name an endpoint newer than the look-up
        # table; the cursor throws that row away.
        mask: Mask = self._matches.take(view.column(self._column), mode="clip")
        return mask
