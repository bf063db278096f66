"""Conditions on the names of an address, which depend on one more number of the row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.filters.answers import Answers
from palomar_server.filters.predicate import has_flags
from palomar_server.table import Flag

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from palomar_server.names import Names
    from palomar_server.table import Mask
    from palomar_server.view import View

_HAS_IP = has_flags(Flag.IP)


class AddressNamePredicate:
    """Rows whose address satisfies a condition, asked once for each address and further number.

    Args:
        side: `source` or `destination`.
        names: what the condition looks into; the agent's thread may change it meanwhile.
        numbers: the further number of each row of a view, shape (n,), unsigned.
        condition: of both halves of an address and that number.
    """

    def __init__(
        self,
        side: str,
        names: Names,
        numbers: Callable[[View], NDArray[np.unsignedinteger]],
        condition: Callable[[int, int, int], bool],
    ) -> None:
        self._hi, self._lo = f"{side}_hi", f"{side}_lo"
        self._names = names
        self._numbers = numbers
        self._answers = Answers(condition, 3)
        self._generation = names.generation

    def __call__(self, view: View) -> Mask:
        """Which rows match, shape (n,); those without an IP header have no names."""
        # First: what is asked from here on may already be newer, and is then asked again.
        if self._generation != (generation := self._names.generation):
            self._answers.forget()
            self._generation = generation
        numbers = self._numbers(view).astype(np.uint64)
        mask = self._answers.look_up(view.column(self._hi), view.column(self._lo), numbers)
        mask &= _HAS_IP(view)
        return mask
