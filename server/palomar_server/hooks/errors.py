"""What can go wrong with hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palomar_server.table import Mask


class HookError(Exception):
    """A hook cannot be loaded, or made ready; the text names it and the cause."""


class RowErrors(Exception):  # noqa: N818 - several errors, as its name says
    """A hook failed for some rows of a batch, and has an answer for the others.

    Raised by adapters of functions on single rows, from the first of the errors.

    Args:
        mask: which rows go on; those for which it failed do.
        count: for how many it failed.
    """

    def __init__(self, mask: Mask, count: int) -> None:
        super().__init__(f"failed for {count} of {len(mask)} rows")
        self.mask = mask
        self.count = count
