"""Which flows a query is about: the filters, times and observation points of a FlowScope."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server.errors import InvalidRequest
from palomar_server.table import Kind

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from palomar_proto.palomar.v1 import flow_scope_pb2
    from palomar_server.filters.compiled import CompiledFilter
    from palomar_server.table import Mask, Rows
    from palomar_server.view import View

_NS_PER_S = 1_000_000_000
_TIME_MAX_NS = (1 << 64) - 1
_POINTS = 256
_FLOW = np.uint8(Kind.FLOW)


def as_flows_request(scope: flow_scope_pb2.FlowScope) -> observer_pb2.GetFlowsRequest:
    """The GetFlows request that would stream these flows, but for the points."""
    request = observer_pb2.GetFlowsRequest(whitelist=scope.whitelist, blacklist=scope.blacklist)
    if scope.HasField("since"):
        request.since.CopyFrom(scope.since)
    if scope.HasField("until"):
        request.until.CopyFrom(scope.until)
    return request


class Scope:
    """Decides on rows.

    Args:
        request: filters and times.
        matching: its filters, compiled.
        points: numbers of flow.TraceObservationPoint; none for all.

    Raises:
        InvalidRequest: a point is none, or the times are the wrong way round.
    """

    def __init__(
        self,
        request: observer_pb2.GetFlowsRequest,
        matching: CompiledFilter,
        points: frozenset[int] = frozenset(),
    ) -> None:
        known = set(flow_pb2.TraceObservationPoint.values())
        if unknown := sorted(points - known):
            raise InvalidRequest("scope.at_points", unknown[0], "is no TraceObservationPoint")
        self.since_ns = _clamped_ns(request.since) if request.HasField("since") else None
        """Earliest time, inclusive, UTC ns."""
        self.until_ns = _clamped_ns(request.until) if request.HasField("until") else None
        """Latest time, inclusive, UTC ns."""
        until_ns = _TIME_MAX_NS if self.until_ns is None else self.until_ns
        if self.since_ns is not None and self.since_ns > until_ns:
            raise InvalidRequest("scope.since", self.since_ns, "ns is later than scope.until")
        self._matching = matching
        self._points = None
        if points:
            self._points = np.zeros(_POINTS, np.bool_)
            self._points[sorted(points)] = True

    @property
    def rows_at_once(self) -> int:
        """How many rows to look at in one go: few where filters are slow."""
        return self._matching.rows_at_once

    def mask(self, view: View) -> Mask:
        """Which rows are flows of the scope, shape (n,)."""
        rows = view.rows
        mask = self.in_time(rows)
        mask &= rows["kind"] == _FLOW
        if self._points is not None:
            mask &= self._points[rows["observation_point"]]
        left = mask.nonzero()[0]
        if len(left) == len(rows):
            return self._matching.mask(view)
        # What filters cost is for rows that may count.
        mask[left] = self._matching.mask(view.take(left))
        return mask

    def in_time(self, rows: Rows) -> Mask:
        """Which rows are in the time, shape (n,)."""
        times = rows["time_ns"]
        mask: Mask = np.ones(len(rows), np.bool_)
        if self.since_ns is not None:
            mask &= times >= np.uint64(self.since_ns)
        if self.until_ns is not None:
            mask &= times <= np.uint64(self.until_ns)
        return mask


def _clamped_ns(stamp: Timestamp) -> int:
    # Not ToNanoseconds, which refuses times that protobuf can carry but no calendar has.
    return min(max(stamp.seconds * _NS_PER_S + stamp.nanos, 0), _TIME_MAX_NS)
