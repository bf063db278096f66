"""The palomar.v1.Queries service: what a portal asks about the flows that the ring holds."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from palomar_proto.palomar.v1 import flow_field_pb2, hints_pb2, summary_pb2
from palomar_server.errors import Exhausted, InvalidRequest
from palomar_server.filters.compiled import CompiledFilter, FilterLimits
from palomar_server.flow_fields import flow_property, is_of_an_end, label_property
from palomar_server.flow_scope import Scope, as_flows_request
from palomar_server.hints import Hints, Search
from palomar_server.hooks import Hooks
from palomar_server.query_limits import QueryLimits, bounded
from palomar_server.ring_scan import RingScan
from palomar_server.summary import GroupKey, HistogramOrder, Summary
from palomar_server.time_histogram import WIDTH_MAX_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palomar_proto.palomar.v1 import explanation_pb2, flow_scope_pb2
    from palomar_server.encode import FlowEncoder
    from palomar_server.flow_property import End
    from palomar_server.peer import Peer
    from palomar_server.ring import Ring
    from palomar_server.surroundings import Surroundings

_NS_PER_S = 1_000_000_000
_ENDS: dict[int, End] = {
    flow_field_pb2.FLOW_END_SOURCE: "source",
    flow_field_pb2.FLOW_END_DESTINATION: "destination",
}


class Explainer(Protocol):
    """Tells why a packet was dropped; `explain.explainer` has one."""

    async def explain(
        self, request: explanation_pb2.ExplainRequest, peer: Peer
    ) -> explanation_pb2.ExplainResponse:
        """Serve Explain."""


class Queries:
    """Answers queries, some at a time, in steps between which streams are served.

    Args:
        ring: the events.
        encoder: builds flows for filters that need them, and knows the node's name.
        surroundings: what rows refer to.
        explainer: serves Explain.
        hooks: OnGetFlows is asked as for a stream of the same flows, since whoever may not have
            some must not have them counted either; OnBuildFilter for each filter.
        filter_limits: what the filters of a request may cost.
        limits: what else may be asked for.
    """

    def __init__(
        self,
        ring: Ring,
        encoder: FlowEncoder,
        surroundings: Surroundings,
        *,
        explainer: Explainer,
        hooks: Hooks | None = None,
        filter_limits: FilterLimits | None = None,
        limits: QueryLimits | None = None,
    ) -> None:
        self._ring = ring
        self._encoder = encoder
        self._surroundings = surroundings
        self._explainer = explainer
        self._hooks = hooks or Hooks()
        self._filter_limits = filter_limits or FilterLimits()
        self._limits = limits or QueryLimits()
        self.running = 0
        """Queries being worked on."""

    async def filter_hints(
        self, request: hints_pb2.FilterHintsRequest, peer: Peer
    ) -> hints_pb2.FilterHintsResponse:
        """Serve FilterHints.

        Raises:
            RequestError: the request cannot be served.
        """
        with self._one_more():
            limits = self._limits
            limit = bounded("limit", request.limit, limits.hints_default, limits.hints_max)
            bounded("search", len(request.search), 0, limits.search_characters_max)
            if request.search_kind not in hints_pb2.SearchKind.values():
                raise InvalidRequest("search_kind", request.search_kind, "is no SearchKind")
            scan = self._scan(request.scope, peer)
            hints = Hints(
                flow_property(
                    request.field,
                    "field",
                    self._surroundings,
                    scan.record,
                    self._encoder.node_name,
                ),
                Search(request.search, request.search_kind),
                limit,
                of_an_end=is_of_an_end(request.field),
            )
            async for found in scan.steps():
                hints.add(found)
            response = await hints.response()
            response.coverage.CopyFrom(scan.coverage())
            return response

    async def summarize(
        self, request: summary_pb2.SummarizeRequest, peer: Peer
    ) -> summary_pb2.SummarizeResponse:
        """Serve Summarize.

        Raises:
            RequestError: the request cannot be served.
        """
        with self._one_more():
            limits = self._limits
            top = bounded("top", request.top, limits.groups_default, limits.groups_max)
            if request.measure not in summary_pb2.Measure.values():
                raise InvalidRequest("measure", request.measure, "is no Measure")
            bounded("group_by", len(request.group_by), 0, limits.groupings_max)
            histogram = None
            if request.HasField("histogram"):
                histogram = self._histogram(request.histogram, top if request.group_by else 1)
            scan = self._scan(request.scope, peer)
            keys = [
                self._group_key(grouping, f"group_by[{index}]", scan)
                for index, grouping in enumerate(request.group_by)
            ]
            summary = Summary(keys, request.measure, top, histogram)
            async for found in scan.steps():
                summary.add(found)
            response = await summary.response()
            response.coverage.CopyFrom(scan.coverage())
            return response

    async def explain(
        self, request: explanation_pb2.ExplainRequest, peer: Peer
    ) -> explanation_pb2.ExplainResponse:
        """Serve Explain.

        Raises:
            RequestError: the request cannot be served.
        """
        with self._one_more():
            return await self._explainer.explain(request, peer)

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        most = self._limits.queries_max
        if self.running >= most:
            raise Exhausted(f"{most} queries are being worked on, which is queries_max")
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    def _scan(self, scope: flow_scope_pb2.FlowScope, peer: Peer) -> RingScan:
        request = self._hooks.get_flows.run(as_flows_request(scope), peer)
        matching = CompiledFilter(
            request.whitelist,
            request.blacklist,
            self._surroundings,
            self._encoder,
            limits=self._filter_limits,
            build=self._hooks.build_filter.run if len(self._hooks.build_filter) else None,
        )
        wanted = Scope(request, matching, frozenset(scope.at_points))
        return RingScan(self._ring, wanted, self._encoder)

    def _group_key(self, grouping: summary_pb2.Grouping, name: str, scan: RingScan) -> GroupKey:
        field, tables = grouping.field, self._surroundings
        prop = flow_property(field, f"{name}.field", tables, scan.record, self._encoder.node_name)
        if is_of_an_end(field) and grouping.end not in _ENDS:
            raise InvalidRequest(f"{name}.end", grouping.end, "is neither source nor destination")
        if not is_of_an_end(field) and grouping.end:
            raise InvalidRequest(f"{name}.end", grouping.end, "is set, but the field has no ends")
        is_label = field == flow_field_pb2.FLOW_FIELD_LABEL
        if is_label != bool(grouping.label_key):
            rule = "must be set for labels, and only for them"
            raise InvalidRequest(f"{name}.label_key", grouping.label_key, rule)
        if is_label:
            prop = label_property(tables, grouping.label_key)
        return GroupKey(prop, _ENDS.get(grouping.end, "source"))

    def _histogram(self, wanted: summary_pb2.HistogramRequest, groups: int) -> HistogramOrder:
        limits = self._limits
        buckets_max = bounded(
            "histogram.buckets_max",
            wanted.buckets_max,
            limits.buckets_default,
            limits.buckets_max,
        )
        if buckets_max < 2:  # noqa: PLR2004 - times on both sides of a border need two
            raise InvalidRequest("histogram.buckets_max", buckets_max, "is below 2")
        if wanted.by_group and buckets_max * groups > limits.group_buckets_max:
            rule = f"buckets of {groups} groups are over {limits.group_buckets_max}"
            raise InvalidRequest("histogram.buckets_max", buckets_max, rule)
        if not wanted.HasField("width"):
            return HistogramOrder(None, buckets_max, wanted.by_group)
        width_ns = wanted.width.seconds * _NS_PER_S + wanted.width.nanos
        if not 0 < width_ns <= WIDTH_MAX_NS:
            raise InvalidRequest("histogram.width", width_ns, "ns is no length of a bucket")
        return HistogramOrder(width_ns, buckets_max, wanted.by_group)
