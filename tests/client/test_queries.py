from datetime import UTC, datetime, timedelta

import pytest

import palomar
from palomar.queries import (
    ExplainKeywords,
    HintsKeywords,
    SummaryKeywords,
    explain_request,
    hints_request,
    summarize_request,
)
from palomar_proto.flow.flow_pb2 import DROPPED, FROM_ENDPOINT, TO_ENDPOINT, Flow, FlowFilter
from palomar_proto.palomar.v1.explanation_pb2 import ExplainRequest
from palomar_proto.palomar.v1.flow_field_pb2 import FLOW_FIELD_POD, FLOW_FIELD_VERDICT
from palomar_proto.palomar.v1.flow_scope_pb2 import FlowScope
from palomar_proto.palomar.v1.hints_pb2 import SEARCH_KIND_SUBSTRING, FilterHintsRequest
from palomar_proto.palomar.v1.summary_pb2 import MEASURE_BYTES, Grouping, SummarizeRequest

NOW_NS = 1_700_000_000_000_000_000
DROPS = FlowFilter(verdict=[DROPPED])


def test_hints_ask_for_a_field() -> None:
    assert hints_request("pod", "web", NOW_NS) == FilterHintsRequest(
        field=FLOW_FIELD_POD, search="web", scope=FlowScope()
    )
    assert hints_request(
        FLOW_FIELD_POD, "", NOW_NS, limit=3, substring=True, verdict="dropped"
    ) == FilterHintsRequest(
        field=FLOW_FIELD_POD,
        search_kind=SEARCH_KIND_SUBSTRING,
        limit=3,
        scope=FlowScope(whitelist=[DROPS]),
    )


def test_scope_takes_filters_as_observe_does() -> None:
    request = hints_request(
        "pod",
        "",
        NOW_NS,
        filters=[palomar.Filter(verdict="dropped"), DROPS],
        exclude=[FlowFilter(reply=[True])],
        since="5m",
        until=datetime(2024, 3, 5, tzinfo=UTC),
        at_points=["from-endpoint", "TO_ENDPOINT"],
    )
    assert list(request.scope.whitelist) == [DROPS, DROPS]
    assert list(request.scope.blacklist) == [FlowFilter(reply=[True])]
    assert request.scope.since.ToNanoseconds() == NOW_NS - 300 * 10**9
    assert request.scope.until.ToDatetime(UTC) == datetime(2024, 3, 5, tzinfo=UTC)
    assert list(request.scope.at_points) == [FROM_ENDPOINT, TO_ENDPOINT]


def test_summary_without_anything_counts_all() -> None:
    assert summarize_request((), NOW_NS) == SummarizeRequest(scope=FlowScope())


def test_summary_has_groups_and_buckets() -> None:
    request = summarize_request(
        ["verdict", Grouping(field=FLOW_FIELD_VERDICT)],
        NOW_NS,
        measure="bytes",
        top=5,
        histogram="1m30s",
        buckets_max=7,
        by_group=True,
    )
    assert list(request.group_by) == [Grouping(field=FLOW_FIELD_VERDICT)] * 2
    assert (request.measure, request.top) == (MEASURE_BYTES, 5)
    assert request.histogram.width.ToSeconds() == 90
    assert (request.histogram.buckets_max, request.histogram.by_group) == (7, True)


@pytest.mark.parametrize(
    ("keywords", "width_ms"),
    [
        (SummaryKeywords(histogram=True), 0),
        (SummaryKeywords(buckets_max=9), 0),
        (SummaryKeywords(by_group=True), 0),
        (SummaryKeywords(histogram=timedelta(milliseconds=250)), 250),
    ],
)
def test_histogram_is_asked_for_by_any_of_its_keywords(
    keywords: SummaryKeywords, width_ms: int
) -> None:
    request = summarize_request((), NOW_NS, **keywords)
    assert request.HasField("histogram")
    assert request.histogram.width.ToMilliseconds() == width_ms


def test_explain_names_a_flow_or_looks_for_the_last() -> None:
    flow = Flow(uuid="u")
    assert explain_request(flow, NOW_NS) == ExplainRequest(flow=flow)
    assert explain_request("u", NOW_NS) == ExplainRequest(uuid="u")
    assert explain_request(0, NOW_NS) == ExplainRequest(sequence=0)
    assert explain_request(None, NOW_NS) == ExplainRequest(last=ExplainRequest.Last())
    assert explain_request(
        None, NOW_NS, any_verdict=True, related_max=2, verdict="dropped"
    ) == ExplainRequest(
        last=ExplainRequest.Last(whitelist=[DROPS], any_verdict=True), related_max=2
    )
    assert explain_request("u", NOW_NS, since="1s").since.ToNanoseconds() == NOW_NS - 10**9


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (HintsKeywords(limit=-1), "limit -1"),
        (HintsKeywords(limit=2**32), "limit"),
        (HintsKeywords(at_points=["nowhere"]), "observation point 'nowhere'.*from-endpoint"),
        (HintsKeywords(verdict="nonsense"), "nonsense"),
        (HintsKeywords(since="nonsense"), "nonsense"),
        (HintsKeywords(verdict="dropped", filters=[DROPS]), "both as objects and as keywords"),
    ],
)
def test_hints_that_mean_nothing_are_refused(keywords: HintsKeywords, message: str) -> None:
    with pytest.raises(palomar.InvalidRequest, match=message):
        hints_request("pod", "", NOW_NS, **keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (SummaryKeywords(measure="hops"), "measure 'hops'.*bytes"),  # type: ignore[typeddict-item]  # refused
        (SummaryKeywords(histogram="soon"), "'soon' is no width"),
        (SummaryKeywords(histogram="0s"), "no width"),
        (SummaryKeywords(histogram=timedelta(-1)), "no width"),
        (SummaryKeywords(top=-1), "top -1"),
        (SummaryKeywords(buckets_max=-1), "buckets_max -1"),
    ],
)
def test_summaries_that_mean_nothing_are_refused(keywords: SummaryKeywords, message: str) -> None:
    with pytest.raises(palomar.InvalidRequest, match=message):
        summarize_request((), NOW_NS, **keywords)


@pytest.mark.parametrize(
    ("about", "keywords"),
    [
        ("u", ExplainKeywords(any_verdict=True)),
        (Flow(), ExplainKeywords(verdict="dropped")),
        (1, ExplainKeywords(exclude=[DROPS])),
        (-1, ExplainKeywords()),
        (2**64, ExplainKeywords()),
    ],
)
def test_explanations_that_mean_nothing_are_refused(
    about: Flow | str | int, keywords: ExplainKeywords
) -> None:
    with pytest.raises(palomar.InvalidRequest):
        explain_request(about, NOW_NS, **keywords)


def test_keyword_of_something_else_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="'last' is no keyword"):
        hints_request("pod", "", NOW_NS, last=3)  # type: ignore[call-arg]  # what is tested
    with pytest.raises(TypeError, match="'limit' is no keyword"):
        explain_request(None, NOW_NS, limit=3)  # type: ignore[call-arg]  # likewise
    with pytest.raises(TypeError, match="'at_points' is no keyword"):
        explain_request(None, NOW_NS, at_points=["to-stack"])  # type: ignore[call-arg]  # likewise
