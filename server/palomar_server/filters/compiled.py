"""Compiling the whitelist and blacklist of a request into one mask function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from palomar_server.errors import InvalidRequest, Unsupported
from palomar_server.filters import (
    event_type,
    ip,
    pod,
    port,
    protocol,
    reply,
    traffic_direction,
    verdict,
)
from palomar_server.table import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from palomar_proto.flow import flow_pb2
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows

    _Compile: TypeAlias = Callable[[flow_pb2.FlowFilter, Surroundings], Predicate]

FIELD_FILTERS: dict[str, _Compile] = {
    # Cheapest and most selective first: a filter stops at the first field that nothing passes.
    "verdict": verdict.compile_verdict,
    "event_type": event_type.compile_event_type,
    "traffic_direction": traffic_direction.compile_traffic_direction,
    "reply": reply.compile_reply,
    "protocol": protocol.compile_protocol,
    "source_port": port.compile_source_port,
    "destination_port": port.compile_destination_port,
    "source_pod": pod.compile_source_pod,
    "destination_pod": pod.compile_destination_pod,
    "source_ip": ip.compile_source_ip,
    "destination_ip": ip.compile_destination_ip,
}
"""Every FlowFilter field that is served, by its proto name, in the order of evaluation."""


@dataclass(frozen=True, slots=True)
class FilterLimits:
    """What a request may ask for: every filter costs time on each look at the ring."""

    filters_max: int = 64
    """Filters of both lists together."""
    values_max: int = 1_000
    """Values of all fields of all filters."""


_LIMITS = FilterLimits()


class CompiledFilter:
    """What a request selects.

    Args:
        whitelist: a row must match one of these; empty lets all pass.
        blacklist: a row must match none of these.
        surroundings: the endpoint table that pod filters look into.
        limits: how much may be asked for.

    Raises:
        InvalidRequest: a value breaks its field's rule, or there are too many.
        Unsupported: a field is set that this server does not filter by.
    """

    def __init__(
        self,
        whitelist: Sequence[flow_pb2.FlowFilter],
        blacklist: Sequence[flow_pb2.FlowFilter],
        surroundings: Surroundings,
        limits: FilterLimits = _LIMITS,
    ) -> None:
        _check_size([*whitelist, *blacklist], limits)
        self._allowed = [
            _compile(one, f"whitelist[{i}]", surroundings) for i, one in enumerate(whitelist)
        ]
        self._denied = [
            _compile(one, f"blacklist[{i}]", surroundings) for i, one in enumerate(blacklist)
        ]

    def mask(self, rows: Rows) -> Mask:
        """Which flows are selected, shape (n,). Loss notices always are.

        Of agent and debug events, which have none of the fields, it says nothing.
        """
        selected: Mask = np.ones(len(rows), np.bool_)
        if self._allowed:
            selected = _any(self._allowed, rows)
        if self._denied and selected.any():
            selected &= ~_any(self._denied, rows)
        selected |= rows["kind"] == Kind.LOST
        return selected


def _check_size(filters: Sequence[flow_pb2.FlowFilter], limits: FilterLimits) -> None:
    if len(filters) > limits.filters_max:
        raise InvalidRequest(
            "whitelist and blacklist", len(filters), f"filters are over {limits.filters_max}"
        )
    values = sum(
        len(value) if field.is_repeated else 1
        for one in filters
        for field, value in one.ListFields()
    )
    if values > limits.values_max:
        raise InvalidRequest(
            "whitelist and blacklist", values, f"values in filters are over {limits.values_max}"
        )


def _compile(
    flow_filter: flow_pb2.FlowFilter, where: str, surroundings: Surroundings
) -> list[Predicate]:
    """The predicates of the fields that are set, in the order of evaluation."""
    fields = {field.name for field, _ in flow_filter.ListFields()}
    if unserved := sorted(fields - FIELD_FILTERS.keys()):
        raise Unsupported(
            f"{where}.{unserved[0]}: this server does not filter by {unserved[0]}; it can by "
            + ", ".join(sorted(FIELD_FILTERS))
        )
    return [
        compile_field(flow_filter, surroundings)
        for name, compile_field in FIELD_FILTERS.items()
        if name in fields
    ]


def _any(filters: list[list[Predicate]], rows: Rows) -> Mask:
    matched: Mask = np.zeros(len(rows), np.bool_)
    for predicates in filters:
        one: Mask = np.ones(len(rows), np.bool_)
        for predicate in predicates:
            one &= predicate(rows)
            if not one.any():
                break
        matched |= one
    return matched
