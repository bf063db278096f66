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


def one_of(column: str, values: Iterable[int]) -> Predicate:
    """Rows whose unsigned number column is one of `values`."""
    dtype = FLOW[column]
    largest = int(np.iinfo(dtype).max)
    wanted = sorted({value for value in values if 0 <= value <= largest})
    if len(wanted) <= _FEW:
        return _one_of_few(column, [dtype.type(value) for value in wanted])
    many = np.array(wanted, dtype)
    if dtype.itemsize > np.dtype(np.uint16).itemsize:
        return lambda view: np.isin(view.column(column), many)
    table = np.zeros(largest + 1, np.bool_)
    table[many] = True
    # Every number of the column's type has its place in the table.
    return lambda view: table[view.column(column)]


def _one_of_few(column: str, wanted: list[Any]) -> Predicate:
    def predicate(view: View) -> Mask:
        if not wanted:
            return np.zeros(len(view), np.bool_)
        numbers = view.column(column)
        mask: Mask = numbers == wanted[0]
        for value in wanted[1:]:
            mask |= numbers == value
        return mask

    return predicate


def has_flags(flags: int) -> Predicate:
    """Rows whose column `flags` has all of these bits."""
    bits = np.uint8(flags)

    def predicate(view: View) -> Mask:
        mask: Mask = view.column("flags") & bits == bits
        return mask

    return predicate


def is_flow(view: View) -> Mask:
    """Rows that are flows: all but a few fields refuse other events."""
    mask: Mask = view.column("kind") == _FLOW
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
