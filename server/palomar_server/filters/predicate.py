"""What every field compiles to, and the pieces several fields are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from palomar_server.endpoints import Endpoint, EndpointTable
    from palomar_server.table import Mask, Rows

    Predicate: TypeAlias = Callable[[Rows], Mask]
    """Rows in, mask out; both of shape (n,)."""


def one_of(column: str, values: Iterable[int]) -> Predicate:
    """Rows whose small-number column (uint8) is one of `values`."""
    wanted = np.zeros(256, np.bool_)
    wanted[[value for value in values if 0 <= value < len(wanted)]] = True

    def predicate(rows: Rows) -> Mask:
        mask: Mask = wanted[rows[column]]
        return mask

    return predicate


class EndpointPredicate:
    """Rows whose endpoint satisfies a condition: a lookup table over endpoint rows.

    The table grows as endpoints come, and is built anew when rows get another meaning.

    Args:
        column: `source_endpoint` or `destination_endpoint`.
        endpoints: the table they point into.
        condition: asked once for each endpoint.
    """

    def __init__(
        self, column: str, endpoints: EndpointTable, condition: Callable[[Endpoint], bool]
    ) -> None:
        self._column = column
        self._endpoints = endpoints
        self._condition = condition
        self._matches = np.zeros(0, np.bool_)
        self._generation = endpoints.generation

    def __call__(self, rows: Rows) -> Mask:
        """Which rows match, shape (n,)."""
        if self._generation != self._endpoints.generation:
            self._matches = np.zeros(0, np.bool_)
            self._generation = self._endpoints.generation
        known, now = len(self._matches), len(self._endpoints)
        if known < now:
            fresh = [self._condition(one) for one in self._endpoints.endpoints()[known:now]]
            self._matches = np.append(self._matches, np.array(fresh, np.bool_))
        # Clipped: a row that the writer is overwriting may name an endpoint newer than the look-up
        # table; the cursor throws that row away.
        mask: Mask = self._matches.take(rows[self._column], mode="clip")
        return mask
