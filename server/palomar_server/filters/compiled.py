"""Compiling the whitelist and blacklist of a request into one mask function."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_server.errors import InvalidRequest
from palomar_server.filters.conjunction import Conjunction
from palomar_server.table import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from palomar_proto.flow import flow_pb2
    from palomar_server.encode import FlowEncoder
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask
    from palomar_server.view import View

ROWS_AT_ONCE_MAX = 65_536
"""Rows looked at in one go: a fraction of a millisecond where columns decide."""
ROWS_AT_ONCE_MIN = 32
"""A millisecond or two even where the whole flow of each row is built."""
_ROWS_AT_ONCE_FIRST = 256
"""Where rows may be slow; how slow these are is not known yet."""
_LOOK_S = 0.003
"""How long one look may take, about: other streams wait meanwhile."""
_LOST = np.uint8(Kind.LOST)


@dataclass(frozen=True, slots=True)
class FilterLimits:
    """What a request may ask for: every filter costs time on each look at the ring."""

    filters_max: int = 64
    """Filters of both lists together."""
    values_max: int = 1_000
    """Values of all fields of all filters."""
    expressions_max: int = 16
    """CEL expressions of all filters: each is evaluated for every flow the other fields leave."""
    patterns_max: int = 32
    """Regular expressions of all filters: compiling one takes up to 10 ms."""


_LIMITS = FilterLimits()


class CompiledFilter:
    """What a request selects.

    Args:
        whitelist: a row must match one of these; empty lets all pass.
        blacklist: a row must match none of these.
        surroundings: the tables that rows point into.
        encoder: knows this node's name and labels, and how it numbers events.
        limits: how much may be asked for.
        build: gives further predicates of a filter, all of which must let a row pass as well.
        clock: s, to see how long a look takes.

    Raises:
        InvalidRequest: a value breaks its field's rule, or there are too many.
    """

    def __init__(
        self,
        whitelist: Sequence[flow_pb2.FlowFilter],
        blacklist: Sequence[flow_pb2.FlowFilter],
        surroundings: Surroundings,
        encoder: FlowEncoder,
        *,
        limits: FilterLimits = _LIMITS,
        build: Callable[[flow_pb2.FlowFilter], Sequence[Predicate]] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        _check_size([*whitelist, *blacklist], limits)
        self._allowed, self._denied = (
            [
                Conjunction(
                    one,
                    f"{name}[{index}]",
                    surroundings,
                    encoder,
                    build(one) if build is not None else (),
                )
                for index, one in enumerate(filters)
            ]
            for name, filters in (("whitelist", whitelist), ("blacklist", blacklist))
        )
        self._clock = clock
        self._is_slow = any(one.is_slow for one in (*self._allowed, *self._denied))
        self.rows_at_once = _ROWS_AT_ONCE_FIRST if self._is_slow else ROWS_AT_ONCE_MAX
        """How many rows to hand in at once, so that the loop goes on within milliseconds.

        It changes with what looks at them cost.
        """

    def surely_none(self, view: View) -> bool:
        """Whether a glance tells that nothing is selected; False means nothing."""
        if not self._allowed or not view.only_flows:
            return False
        return all(one.surely_none(view) for one in self._allowed)

    def mask(self, view: View) -> Mask:
        """Which rows are selected, shape (n,). Loss notices always are.

        Of events that are neither, `event_type`, label selectors and expressions say something; all
        other fields refuse them.
        """
        started = self._clock() if self._is_slow else 0.0
        selected: Mask
        selected = _any(self._allowed, view) if self._allowed else np.ones(len(view), np.bool_)
        if self._denied and (found := np.count_nonzero(selected)):
            # Nothing is asked of rows that are not selected anyway.
            if found == len(selected):
                selected = ~_any(self._denied, view)
            else:
                which = selected.nonzero()[0]
                selected[which] = ~_any(self._denied, view.take(which))
        if not view.only_flows:
            selected |= view.column("kind") == _LOST
        if self._is_slow:
            self._adapt(len(view), self._clock() - started)
        return selected

    def _adapt(self, rows: int, took_s: float) -> None:
        if took_s > _LOOK_S:
            fitting = int(rows * _LOOK_S / took_s)
            self.rows_at_once = max(ROWS_AT_ONCE_MIN, min(fitting, ROWS_AT_ONCE_MAX))
        elif 2 * took_s <= _LOOK_S and rows >= self.rows_at_once:
            # Fewer rows would say little about how long more of them take.
            self.rows_at_once = min(2 * self.rows_at_once, ROWS_AT_ONCE_MAX)


def _any(filters: Sequence[Conjunction], view: View) -> Mask:
    matched = filters[0].mask(view)
    for one in filters[1:]:
        matched |= one.mask(view)
    return matched


def _check_size(filters: Sequence[flow_pb2.FlowFilter], limits: FilterLimits) -> None:
    expressions = sum(len(one.experimental.cel_expression) for one in filters)
    values = expressions + sum(
        len(value) if field.is_repeated else 1
        for one in filters
        for field, value in one.ListFields()
    )
    patterns = sum(len(one.http_path) + len(one.http_url) + len(one.dns_query) for one in filters)
    for count, count_max, what in (
        (len(filters), limits.filters_max, "filters"),
        (values, limits.values_max, "values in filters"),
        (expressions, limits.expressions_max, "CEL expressions"),
        (patterns, limits.patterns_max, "regular expressions"),
    ):
        if count > count_max:
            raise InvalidRequest("whitelist and blacklist", count, f"{what} are over {count_max}")
