"""Requests of palomar.v1.Queries: what a caller wants to know in, one message out.

Both clients build them here. Does no I/O; the clock is a parameter.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final, Literal, Unpack, cast

from palomar.errors import InvalidRequest
from palomar.filter_flags import FilterKeywords
from palomar.filters import Filter
from palomar.groupings import parse_field, parse_grouping
from palomar.requests import ObserveKeywords, keyword_request
from palomar.timestamps import When, duration_ns
from palomar_proto.flow.flow_pb2 import Flow, FlowFilter, TraceObservationPoint
from palomar_proto.palomar.v1.explanation_pb2 import ExplainRequest
from palomar_proto.palomar.v1.flow_field_pb2 import FlowField
from palomar_proto.palomar.v1.flow_scope_pb2 import FlowScope
from palomar_proto.palomar.v1.hints_pb2 import (
    SEARCH_KIND_PREFIX,
    SEARCH_KIND_SUBSTRING,
    FilterHintsRequest,
)
from palomar_proto.palomar.v1.summary_pb2 import (
    MEASURE_BYTES,
    MEASURE_FLOWS,
    MEASURE_PACKETS,
    Grouping,
    SummarizeRequest,
)

MeasureName = Literal["flows", "packets", "bytes"]

_MEASURES: Final = {
    "flows": MEASURE_FLOWS,
    "packets": MEASURE_PACKETS,
    "bytes": MEASURE_BYTES,
}
_UINT32_MAX: Final = 2**32 - 1
_UINT64_MAX: Final = 2**64 - 1


class TimeKeywords(FilterKeywords, total=False):
    """Keywords that say which flows, by what they are and when they were."""

    filters: Iterable[Filter | FlowFilter]
    """A flow must match one of them; instead of the keywords of `Filter`."""
    exclude: Iterable[Filter | FlowFilter]
    """A flow that matches one of these is left out."""
    since: When
    """From this time on: text such as `5m` (ago) or `2024-03-05T10:20:30Z`, a datetime, or a
    timedelta in the past."""
    until: When
    """Up to this time."""


class ScopeKeywords(TimeKeywords, total=False):
    """Keywords that say which flows a query counts; without any, all that the server holds."""

    at_points: Iterable[str]
    """Only flows seen at one of these points, such as `from-endpoint`: a packet passes several."""


class HintsKeywords(ScopeKeywords, total=False):
    """Keywords of `Client.hints`."""

    limit: int
    """How many values to give at most; 0 leaves it to the server."""
    substring: bool
    """Look for the search text anywhere in a value."""


class SummaryKeywords(ScopeKeywords, total=False):
    """Keywords of `Client.summarize`."""

    measure: MeasureName
    """What groups are ordered by; flows unless told otherwise."""
    top: int
    """How many groups to give at most; 0 leaves it to the server."""
    histogram: timedelta | str | bool
    """Whether to count over time as well, or how long each bucket is: a timedelta, or text such as
    `10s`."""
    buckets_max: int
    """How many buckets to give at most; 0 leaves it to the server."""
    by_group: bool
    """Whether to count each group over time."""


class ExplainKeywords(TimeKeywords, total=False):
    """Keywords of `Client.explain`."""

    any_verdict: bool
    """Look for the last flow of any verdict, not only for drops: for a connection that hangs."""
    related_max: int
    """How many related flows to give at most; 0 leaves it to the server."""


def hints_request(
    field: str | FlowField.ValueType,
    search: str,
    now_ns: int,
    **keywords: Unpack[HintsKeywords],
) -> FilterHintsRequest:
    """Ask for the values of a field; see `Client.hints`.

    Args:
        field: Its name.
        search: Only values with this; empty for all.
        now_ns: Nanoseconds since the Unix epoch; durations count back from it.
        **keywords: As for `Client.hints`.

    Raises:
        InvalidRequest: A value means nothing.
    """
    limit = keywords.pop("limit", 0)
    substring = keywords.pop("substring", False)
    return FilterHintsRequest(
        field=parse_field(field) if isinstance(field, str) else field,
        search=search,
        search_kind=SEARCH_KIND_SUBSTRING if substring else SEARCH_KIND_PREFIX,
        limit=_number("limit", limit),
        scope=_scope(now_ns, keywords),
    )


def summarize_request(
    group_by: Iterable[str | Grouping], now_ns: int, **keywords: Unpack[SummaryKeywords]
) -> SummarizeRequest:
    """Ask for counts; see `Client.summarize`.

    Raises:
        InvalidRequest: A value means nothing.
    """
    measure = keywords.pop("measure", "flows")
    if measure not in _MEASURES:
        raise InvalidRequest(f"measure {measure!r} is none of {', '.join(_MEASURES)}")
    top = _number("top", keywords.pop("top", 0))
    histogram = keywords.pop("histogram", False)
    buckets_max = _number("buckets_max", keywords.pop("buckets_max", 0))
    by_group = keywords.pop("by_group", False)
    request = SummarizeRequest(measure=_MEASURES[measure], top=top, scope=_scope(now_ns, keywords))
    for item in group_by:
        request.group_by.extend(parse_grouping(item) if isinstance(item, str) else (item,))
    if histogram is not False or buckets_max or by_group:
        request.histogram.SetInParent()
        request.histogram.buckets_max = buckets_max
        request.histogram.by_group = by_group
        if not isinstance(histogram, bool):
            request.histogram.width.FromNanoseconds(_width_ns(histogram))
    return request


def explain_request(
    about: Flow | str | int | None, now_ns: int, **keywords: Unpack[ExplainKeywords]
) -> ExplainRequest:
    """Ask what became of a flow; see `Client.explain`.

    Raises:
        InvalidRequest: A value means nothing, or filters come with a flow that is named already.
    """
    if "at_points" in keywords:
        raise TypeError("'at_points' is no keyword of explain, which looks at all points")
    any_verdict = keywords.pop("any_verdict", False)
    request = ExplainRequest(related_max=_number("related_max", keywords.pop("related_max", 0)))
    scope = _scope(now_ns, cast("ScopeKeywords", keywords))
    if scope.HasField("since"):
        request.since.CopyFrom(scope.since)
    if scope.HasField("until"):
        request.until.CopyFrom(scope.until)
    if about is None:
        request.last.SetInParent()
        request.last.whitelist.extend(scope.whitelist)
        request.last.blacklist.extend(scope.blacklist)
        request.last.any_verdict = any_verdict
        return request
    if any_verdict or scope.whitelist or scope.blacklist:
        raise InvalidRequest(
            "filters and any_verdict look for the last flow, but a flow is named already; leave "
            "one of them out"
        )
    if isinstance(about, Flow):
        request.flow.CopyFrom(about)
    elif isinstance(about, str):
        request.uuid = about
    else:
        request.sequence = _number("sequence", about, _UINT64_MAX)
    return request


def _scope(now_ns: int, keywords: ScopeKeywords) -> FlowScope:
    rest = dict(keywords)
    filters = tuple(cast("Iterable[Filter | FlowFilter]", rest.pop("filters", ())))
    exclude = cast("Iterable[Filter | FlowFilter]", rest.pop("exclude", ()))
    points = cast("Iterable[str]", rest.pop("at_points", ()))
    if wrong := sorted(rest.keys() - TimeKeywords.__annotations__.keys()):
        raise TypeError(f"{wrong[0]!r} is no keyword of this query, nor of a Filter")
    # As `observe` reads them, so that what was asked for there can be counted here.
    request = keyword_request(filters, exclude, now_ns, **cast("ObserveKeywords", rest))
    return FlowScope(
        whitelist=request.whitelist,
        blacklist=request.blacklist,
        since=request.since if request.HasField("since") else None,
        until=request.until if request.HasField("until") else None,
        at_points=[_point(name) for name in points],
    )


def _point(text: str) -> TraceObservationPoint.ValueType:
    name = text.strip().upper().replace("-", "_")
    points = [point for point in TraceObservationPoint.keys() if point]  # noqa: SIM118 - no dict
    if name not in points:
        known = ", ".join(point.lower().replace("_", "-") for point in points)
        raise InvalidRequest(f"there is no observation point {text!r}; there are {known}")
    return TraceObservationPoint.Value(name)


def _width_ns(width: timedelta | str) -> int:
    if isinstance(width, timedelta):
        width_ns: int | None = width // timedelta(microseconds=1) * 1_000
    else:
        width_ns = duration_ns(width)
    if width_ns is None or width_ns <= 0:
        raise InvalidRequest(
            f"histogram {width!r} is no width of a bucket; write it like 10s or 1m30s"
        )
    return width_ns


def _number(name: str, value: int, maximum: int = _UINT32_MAX) -> int:
    if not 0 <= value <= maximum:
        raise InvalidRequest(f"{name} {value} is not between 0 and {maximum}")
    return value
