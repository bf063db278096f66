"""One FlowFilter as predicates, all of which a row must pass, the cheapest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow_filter import FilterError, parse_filter
from palomar_server.errors import InvalidRequest
from palomar_server.filters.fields import FIELDS
from palomar_server.filters.predicate import FieldFilter, OneOf, is_flow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from palomar_proto.flow import flow_pb2
    from palomar_proto.flow_filter import FieldMatcher
    from palomar_server.encode import FlowEncoder
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask
    from palomar_server.view import View

_NARROW_FACTOR = 4
"""Columns are looked at row by row where fewer than one in so many are left: that costs about as
many times more a row."""


def _parse(flow_filter: flow_pb2.FlowFilter, where: str) -> dict[str, FieldMatcher]:
    try:
        return parse_filter(flow_filter)
    except FilterError as error:
        raise InvalidRequest(f"{where}.{error.field}", error.value, error.rule) from error


class Conjunction:
    """What one filter selects.

    Args:
        flow_filter: the filter; without fields it selects everything.
        where: its place in the request, for errors.
        surroundings: the tables that rows point into.
        encoder: knows this node's name and labels, and how it numbers events.
        further: predicates that a row must pass as well.

    Raises:
        InvalidRequest: a value breaks its field's rule.
    """

    def __init__(
        self,
        flow_filter: flow_pb2.FlowFilter,
        where: str,
        surroundings: Surroundings,
        encoder: FlowEncoder,
        further: Sequence[Predicate],
    ) -> None:
        self._cheap: list[Predicate] = []
        """Columns decide: a few nanoseconds a row."""
        self._slow: list[Predicate] = []
        """Some rows may have to be asked one by one."""
        parsed = _parse(flow_filter, where)
        for name, field in FIELDS.items():
            if name in parsed:
                one = field.compile(FieldFilter(name, *parsed[name], surroundings, encoder))
                (self._slow if field.is_slow else self._cheap).append(one)
        if not all(FIELDS[name].of_all_kinds for name in parsed):
            self._cheap.append(is_flow)
        # Behind the columns, and before expressions, which are the slowest.
        at = len(self._slow) - ("experimental" in parsed)
        self._slow[at:at] = further

    @property
    def is_slow(self) -> bool:
        """Whether rows may have to be asked one by one."""
        return bool(self._slow)

    def surely_none(self, view: View) -> bool:
        """Whether a glance tells that no flow passes."""
        first = self._cheap[0] if self._cheap else None
        return isinstance(first, OneOf) and not len(view.where(first)[0])

    def mask(self, view: View) -> Mask:
        """Which rows pass every predicate, shape (n,).

        The later predicates only see what the earlier ones left.
        """
        left: NDArray[np.intp] | None = None
        here, cheap = view, self._cheap
        if cheap and isinstance(cheap[0], OneOf):
            # Other filters ask the same of the same rows: of what was dropped, say.
            found, some = view.where(cheap[0])
            if not len(found):
                return np.zeros(len(view), np.bool_)
            if len(found) * _NARROW_FACTOR < len(view):
                here, left, cheap = some, found, cheap[1:]
        mask: Mask = np.ones(len(here), np.bool_)
        for factor, predicates in ((_NARROW_FACTOR, cheap), (1, self._slow)):
            for predicate in predicates:
                count = np.count_nonzero(mask)
                if not count:
                    break
                if count * factor < len(mask):
                    chosen = mask.nonzero()[0]
                    left = chosen if left is None else left[chosen]
                    here = here.take(chosen)
                    mask = predicate(here)
                else:
                    mask &= predicate(here)
        if left is None:
            return mask
        whole: Mask = np.zeros(len(view), np.bool_)
        whole[left] = mask
        return whole
