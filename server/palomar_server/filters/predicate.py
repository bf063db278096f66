"""What every field compiles to, and the pieces several fields are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from palomar_proto.flow_filter.event_type import ACCESS_LOG
from palomar_server.table import FLOW, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from palomar_proto.flow_filter import EventPredicate
    from palomar_server.encode import FlowEncoder
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask
    from palomar_server.view import View

    Predicate: TypeAlias = Callable[[View], Mask]
    """A view of n rows in, mask of shape (n,) out, which is then the caller's to change."""


_FEW = 3
"""So many comparisons cost less than a look-up table."""
_FLOW = np.uint8(Kind.FLOW)
_ACCESS_LOG = np.uint8(ACCESS_LOG)


@dataclass(frozen=True, slots=True)
class FieldFilter:
    """One field of one filter, and what its predicate may look into besides the rows."""

    name: str
    """The field's proto name."""
    parsed: Any
    """Its values, as `palomar_proto.flow_filter` parses them."""
    test: EventPredicate
    """Whether an event matches, as a message."""
    surroundings: Surroundings
    encoder: FlowEncoder
    """Knows this node's name and labels, and how it numbers events."""

    @property
    def side(self) -> str:
        """`source` or `destination`: what the columns of the field's end begin with."""
        return self.name.partition("_")[0]


class OneOf:
    """Rows whose unsigned number column is one of some values. Equal ones can share their answers.

    Args:
        column: its name.
        values: those that the column's type does not have are passed over.
    """

    __slots__ = ("_column", "_few", "_hash", "_many", "_table", "_wanted")

    def __init__(self, column: str, values: Iterable[int]) -> None:
        dtype = FLOW[column]
        largest = int(np.iinfo(dtype).max)
        self._column = column
        self._wanted = tuple(sorted({value for value in values if 0 <= value <= largest}))
        self._few = [dtype.type(value) for value in self._wanted[: _FEW + 1]]
        self._many = np.array(self._wanted, dtype)
        self._hash = hash(self._key)
        self._table: Mask | None = None
        if len(self._few) > _FEW and dtype.itemsize <= np.dtype(np.uint16).itemsize:
            # Every number of the column's type has its place in the table.
            self._table = np.zeros(largest + 1, np.bool_)
            self._table[self._many] = True

    def __call__(self, view: View) -> Mask:
        """Which rows match, shape (n,)."""
        numbers = view.column(self._column)
        if self._table is not None:
            mask: Mask = self._table[numbers]
            return mask
        if len(self._few) > _FEW:
            return np.isin(numbers, self._many)
        if not self._few:
            return np.zeros(len(view), np.bool_)
        mask = numbers == self._few[0]
        for value in self._few[1:]:
            mask |= numbers == value
        return mask

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OneOf) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash

    @property
    def _key(self) -> tuple[str, tuple[int, ...]]:
        return self._column, self._wanted


def one_of(column: str, values: Iterable[int]) -> OneOf:
    """Rows whose unsigned number column is one of `values`."""
    return OneOf(column, values)


def has_flags(flags: int) -> Predicate:
    """Rows whose column `flags` has all of these bits."""
    bits = np.uint8(flags)

    def predicate(view: View) -> Mask:
        mask: Mask = view.column("flags") & bits == bits
        return mask

    return predicate


def is_flow(view: View) -> Mask:
    """Rows that are flows: all but a few fields refuse other events."""
    mask: Mask = np.ones(len(view), np.bool_) if view.only_flows else view.column("kind") == _FLOW
    return mask


def with_messages(
    columns: Predicate, test: EventPredicate, *, but_access_logs: bool = False
) -> Predicate:
    """Columns decide on rows that hold all there is, and the message on flows that have one.

    What a message says of labels and names is what they were when the event was logged, and it may
    hold what no column can. The test is of what the message says, without what the server adds.

    Args:
        columns: decides by columns.
        test: decides on messages.
        but_access_logs: whether columns decide on access logs, too, which are most of the flows
            that have a message.
    """

    def predicate(view: View) -> Mask:
        mask = columns(view)
        asked = view.column("message").nonzero()[0]
        if len(asked):
            asked = asked[view.column("kind")[asked] == _FLOW]
        if len(asked) and but_access_logs:
            asked = asked[view.column("event_type")[asked] != _ACCESS_LOG]
        for index in asked.tolist():
            mask[index] = test(view.told(index))
        return mask

    return predicate


def constant(answer: bool) -> Predicate:  # noqa: FBT001 - the answer is all there is
    """The same for every row."""
    return lambda view: np.full(len(view), answer)
