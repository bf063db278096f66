"""Conditions on what an end shows: its endpoint as the event's own identity makes it look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.filters.answers import Answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_server.endpoints import Endpoint
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask
    from palomar_server.view import View

_IDENTITY_BITS = np.uint64(32)
_IDENTITY_MASK = (1 << 32) - 1


class EndpointIdentityPredicate:
    """Rows whose endpoint and identity satisfy a condition, asked once for each pair of them.

    Args:
        side: `source` or `destination`.
        surroundings: the tables that rows point into; the agent's thread may change them meanwhile.
        condition: of an endpoint and the identity that the row has for it.
    """

    def __init__(
        self, side: str, surroundings: Surroundings, condition: Callable[[Endpoint, int], bool]
    ) -> None:
        self._endpoint, self._identity = f"{side}_endpoint", f"{side}_identity"
        self._surroundings = surroundings
        self._condition = condition
        self._answers = Answers(self._ask, 1)
        self._generation = self._now()

    def _now(self) -> int:
        return self._surroundings.endpoints.generation + self._surroundings.identities.generation

    def _ask(self, pair: int) -> bool:
        endpoint = self._surroundings.endpoints.endpoint(pair >> int(_IDENTITY_BITS))
        return self._condition(endpoint, pair & _IDENTITY_MASK)

    def __call__(self, view: View) -> Mask:
        """Which rows match, shape (n,)."""
        # First: what is asked from here on may already be newer, and is then asked again.
        if self._generation != (generation := self._now()):
            self._answers.forget()
            self._generation = generation
        pairs = view.column(self._endpoint).astype(np.uint64)
        # A row that the writer is overwriting may name an endpoint that is none.
        np.minimum(pairs, np.uint64(len(self._surroundings.endpoints) - 1), out=pairs)
        pairs <<= _IDENTITY_BITS
        pairs |= view.column(self._identity)
        return self._answers.look_up(pairs)
