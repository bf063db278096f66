from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import (
    explanation_pb2,
    flow_field_pb2,
    flow_scope_pb2,
    hints_pb2,
    summary_pb2,
)
from palomar_server.errors import Exhausted, InvalidRequest, Refused
from palomar_server.hooks import Hooks
from palomar_server.peer import OWN, Peer
from palomar_server.queries import Queries
from palomar_server.query_limits import QueryLimits
from palomar_server.ring import Ring
from palomar_server.table import Kind
from palomar_server.testing import START_NS, event_row, flow_rows, lost_message, lost_row

from .query_flows import core_with_tables, rows, values_of

if TYPE_CHECKING:
    from palomar_proto.observer import observer_pb2
    from palomar_server.table import Rows
    from palomar_server.testing import Core

ALL_FIELDS = [number for number in flow_field_pb2.FlowField.values() if number]
OF_AN_END = [number for number in ALL_FIELDS if number <= flow_field_pb2.FLOW_FIELD_SERVICE]
POD, PORT = flow_field_pb2.FLOW_FIELD_POD, flow_field_pb2.FLOW_FIELD_PORT
VERDICT = flow_field_pb2.FLOW_FIELD_VERDICT
SOURCE = flow_field_pb2.FLOW_END_SOURCE


class Explains:
    """Explains nothing."""

    async def explain(
        self, request: explanation_pb2.ExplainRequest, peer: Peer
    ) -> explanation_pb2.ExplainResponse:
        assert peer == OWN
        return explanation_pb2.ExplainResponse(headline=f"about {request.uuid}")


def queries(core: Core, limits: QueryLimits | None = None, hooks: Hooks | None = None) -> Queries:
    return Queries(
        core.ring,
        core.encoder,
        core.surroundings,
        explainer=Explains(),
        hooks=hooks,
        limits=limits,
    )


def hints(core: Core, field: int = POD, **request: object) -> hints_pb2.FilterHintsResponse:
    wanted = hints_pb2.FilterHintsRequest(field=field, **request)  # type: ignore[arg-type]
    return asyncio.run(queries(core).filter_hints(wanted, OWN))


def summarize(
    core: Core, *keys: summary_pb2.Grouping, **request: object
) -> summary_pb2.SummarizeResponse:
    wanted = summary_pb2.SummarizeRequest(group_by=keys, **request)  # type: ignore[arg-type]
    return asyncio.run(queries(core).summarize(wanted, OWN))


def by(field: int, end: int = 0, label_key: str = "") -> summary_pb2.Grouping:
    return summary_pb2.Grouping(
        field=flow_field_pb2.FlowField.ValueType(field),
        end=flow_field_pb2.FlowEnd.ValueType(end),
        label_key=label_key,
    )


def flows_of(core: Core, written: Rows) -> list[flow_pb2.Flow]:
    return [core.encoder.flow(row, number) for number, row in enumerate(written)]


@given(rows())
@settings(max_examples=30)
def test_hints_count_flows_as_whoever_reads_all_of_them_would(written: Rows) -> None:
    core = core_with_tables()
    core.ring.append(written)
    flows = flows_of(core, written)
    for field in ALL_FIELDS:
        counts = [Counter[str](), Counter[str](), Counter[str]()]
        for flow in flows:
            first, second = (set(values_of(flow, field, end)) for end in ("source", "destination"))
            for counter, values in zip(counts, (first | second, first, second), strict=True):
                counter.update(values)
        if field not in OF_AN_END:
            counts[1:] = Counter(), Counter()
        told = hints(core, field)
        assert [
            (one.value, one.flows, one.flows_as_source, one.flows_as_destination)
            for one in told.hints
        ] == [
            (value, flows, counts[1][value], counts[2][value])
            for value, flows in sorted(counts[0].items(), key=lambda item: (-item[1], item[0]))
        ]
        assert told.distinct == len(told.hints)


@given(
    rows(),
    st.lists(st.sampled_from(ALL_FIELDS), max_size=4),
    st.sampled_from(summary_pb2.Measure.values()),
    st.integers(1, 5),
)
@settings(max_examples=150)
def test_summary_sums_up_as_whoever_reads_all_flows_would(
    written: Rows, fields: list[int], measure: int, top: int
) -> None:
    core = core_with_tables()
    core.ring.append(written)
    fields = [field for field in fields if field != flow_field_pb2.FLOW_FIELD_LABEL]
    expected: dict[tuple[str, ...], list[int]] = {}
    for flow, row in zip(flows_of(core, written), written, strict=True):
        values = tuple(", ".join(values_of(flow, field, "source")) for field in fields)
        sums = expected.setdefault(values, [0, 0, 0])
        for index, number in enumerate((1, int(row["packets"]), int(row["bytes"]))):
            sums[index] += number
    told = summarize(
        core,
        *(by(field, SOURCE if field in OF_AN_END else 0) for field in fields),
        measure=measure,
        top=top,
    )
    ranked = sorted(expected.items(), key=lambda item: -_capped(item[1])[measure])
    assert [(tuple(one.values), totals(one.totals)) for one in told.groups] == [
        (values, _capped(sums)) for values, sums in ranked[:top]
    ]
    assert told.other_groups == max(0, len(ranked) - top)
    assert totals(told.other) == _capped([sum(column) for column in _columns(ranked[top:])])
    assert totals(told.total) == _capped([sum(column) for column in _columns(ranked)])


def _columns(ranked: list[tuple[tuple[str, ...], list[int]]]) -> list[list[int]]:
    return [[_capped(sums)[index] for _, sums in ranked] for index in range(3)]


def _capped(sums: list[int]) -> list[int]:
    return [min(number, (1 << 64) - 1) for number in sums]


def totals(told: summary_pb2.Totals) -> list[int]:
    return [told.flows, told.packets, told.bytes]


@given(rows(), st.sampled_from([None, 1, 1_000, 1_000_000_000]), st.integers(2, 50))
@settings(max_examples=60)
def test_histogram_has_every_flow_once(
    written: Rows, width_ns: int | None, buckets_max: int
) -> None:
    core = core_with_tables()
    core.ring.append(written)
    wanted = summary_pb2.HistogramRequest(buckets_max=buckets_max, by_group=True)
    if width_ns:
        wanted.width.FromNanoseconds(width_ns)
    told = summarize(core, by(VERDICT), histogram=wanted)
    histogram = told.histogram
    start, width = histogram.start.ToNanoseconds(), histogram.width.ToNanoseconds()
    assert start % width == 0
    assert len(histogram.buckets) <= buckets_max
    for place, bucket in enumerate(histogram.buckets):
        begin = start + place * width
        chosen = written[
            (written["time_ns"] >= np.uint64(begin))
            & (written["time_ns"] < np.uint64(begin + width))
        ]
        assert bucket.flows == len(chosen)
        assert bucket.packets == sum(chosen["packets"].tolist())
        assert bucket.flows == sum(group.buckets[place].flows for group in told.groups)
    counted = sum(bucket.flows for bucket in histogram.buckets) + histogram.earlier.flows
    assert counted == told.total.flows == len(written)


def shop(core: Core) -> None:
    """Ten flows from web-1 to cart-1, the first three of them dropped."""
    written = flow_rows(10, source_endpoint=1, destination_endpoint=3, destination_port=80)
    written["verdict"][:3] = flow_pb2.DROPPED
    core.ring.append(written)


def test_scope_is_filters_times_and_points() -> None:
    core = core_with_tables()
    shop(core)
    core.ring.append(flow_rows(2, observation_point=flow_pb2.FROM_ENDPOINT, source_endpoint=1))
    assert hints(core).hints[0].flows == 12
    scope = flow_scope_pb2.FlowScope(whitelist=[flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED])])
    assert [one.flows for one in hints(core, scope=scope).hints] == [3, 3]
    scope = flow_scope_pb2.FlowScope(blacklist=[flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED])])
    scope.since.FromNanoseconds(START_NS + 4_000_000_000)
    scope.until.FromNanoseconds(START_NS + 5_000_000_000)
    assert summarize(core, scope=scope).total.flows == 2
    scope = flow_scope_pb2.FlowScope(at_points=[flow_pb2.FROM_ENDPOINT])
    assert summarize(core, scope=scope).total.flows == 2


def test_search_finds_words_and_says_what_it_left_out() -> None:
    core = core_with_tables()
    shop(core)
    assert [one.value for one in hints(core, search="WEB").hints] == ["shop/web-1"]
    assert not hints(core, search="eb").hints
    substring = hints(core, search="eb", search_kind=hints_pb2.SEARCH_KIND_SUBSTRING)
    assert [one.value for one in substring.hints] == ["shop/web-1"]
    shortened = hints(core, limit=1)
    assert ([one.value for one in shortened.hints], shortened.distinct, shortened.truncated) == (
        ["shop/cart-1"],
        2,
        True,
    )


def test_search_in_vain_names_what_is_alike() -> None:
    core = core_with_tables()
    shop(core)
    told = hints(core, search="web-x")
    assert not told.hints
    assert [(one.value, one.flows) for one in told.similar] == [("shop/web-1", 10)]


def test_names_of_numbers_come_with_their_number() -> None:
    core = core_with_tables()
    core.ring.append(flow_rows(verdict=flow_pb2.DROPPED, drop_reason=1_005))
    hint = hints(core, flow_field_pb2.FLOW_FIELD_DROP_REASON).hints[0]
    assert (hint.value, hint.number) == ("NO_SOCKET", 1_005)
    assert not hints(core, PORT).hints[0].HasField("number")


def test_label_groups_by_the_value_of_its_key() -> None:
    core = core_with_tables()
    shop(core)
    label = flow_field_pb2.FLOW_FIELD_LABEL
    for key, value in (("app", "web"), ("k8s:tier", "front"), ("none", "")):
        told = summarize(core, by(label, SOURCE, key))
        assert [list(group.values) for group in told.groups] == [[value]]


def test_records_of_applications_are_read_and_those_that_are_gone_counted() -> None:
    core = core_with_tables()
    request = flow_pb2.Flow()
    request.l7.http.method = "GET"
    request.l7.http.code = 200
    request.l7.http.url = "http://shop/cart?id=1"
    core.ring.append(
        flow_rows(event_type=MessageType.ACCESS_LOG, message=1), [request.SerializeToString()]
    )
    for field, value in (
        (flow_field_pb2.FLOW_FIELD_HTTP_METHOD, "GET"),
        (flow_field_pb2.FLOW_FIELD_HTTP_STATUS, "200"),
        (flow_field_pb2.FLOW_FIELD_HTTP_PATH, "/cart"),
    ):
        assert [one.value for one in hints(core, field).hints] == [value]
    core.ring = Ring(63, messages_max_bytes=1)
    core.ring.append(
        flow_rows(event_type=MessageType.ACCESS_LOG, message=1), [request.SerializeToString()]
    )
    told = hints(core, flow_field_pb2.FLOW_FIELD_HTTP_METHOD)
    assert (len(told.hints), told.coverage.unread) == (0, 1)


def test_coverage_tells_how_far_back_the_ring_goes_and_what_was_lost() -> None:
    core = core_with_tables(capacity=15)
    core.ring.append(flow_rows(10))
    core.ring.append(lost_row(), [lost_message(5)])
    core.ring.append(event_row(Kind.AGENT), [b"\x08\x01"])
    told = summarize(core).coverage
    assert (told.whole, told.looked_at, told.overwritten) == (True, 12, 0)
    assert [(one.source, one.events) for one in told.losses] == [
        (flow_pb2.PERF_EVENT_RING_BUFFER, 5)
    ]
    assert told.oldest.ToNanoseconds() == told.newest.ToNanoseconds() == START_NS
    core.ring.append(flow_rows(9, time_ns=START_NS + 7))
    assert not summarize(core).coverage.whole
    scope = flow_scope_pb2.FlowScope()
    scope.since.FromNanoseconds(START_NS + 60_000_000_000)
    assert summarize(core, scope=scope).coverage.whole


def test_empty_ring_has_nothing_and_says_that_this_is_all() -> None:
    core = core_with_tables()
    told = summarize(core, by(VERDICT), histogram=summary_pb2.HistogramRequest(by_group=True))
    assert (len(told.groups), told.total.flows, len(told.histogram.buckets)) == (0, 0, 0)
    assert told.coverage.whole
    assert not told.coverage.HasField("oldest")


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"field": 0}, "field: 0 is no FlowField"),
        ({"field": POD, "limit": 1_001}, "limit: 1001 is over 1000"),
        ({"field": POD, "search": "x" * 257}, "search: 257 is over 256"),
        ({"field": POD, "search_kind": 7}, "search_kind: 7 is no SearchKind"),
    ],
)
def test_hints_are_refused_by_field_value_and_rule(request_: dict[str, int], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        hints(core_with_tables(), **request_)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"group_by": [by(POD)]}, r"group_by\[0\]\.end: 0 is neither"),
        ({"group_by": [by(VERDICT, SOURCE)]}, r"group_by\[0\]\.end: 1 is set"),
        ({"group_by": [by(99)]}, r"group_by\[0\]\.field: 99 is no FlowField"),
        ({"group_by": [by(1, 1, "app")]}, r"group_by\[0\]\.label_key: 'app' must be set"),
        ({"group_by": [by(3, 1)]}, r"group_by\[0\]\.label_key: '' must be set"),
        ({"group_by": [by(VERDICT)] * 5}, "group_by: 5 is over 4"),
        ({"top": 1_001}, "top: 1001 is over 1000"),
        ({"measure": 9}, "measure: 9 is no Measure"),
        ({"histogram": {"buckets_max": 1}}, "histogram.buckets_max: 1 is below 2"),
        ({"histogram": {"buckets_max": 1_001}}, "histogram.buckets_max: 1001 is over"),
        ({"histogram": {"width": Duration(seconds=-1)}}, "histogram.width: -1000000000 ns is no"),
        (
            {"group_by": [by(VERDICT)], "top": 500, "histogram": {"by_group": True}},
            "histogram.buckets_max: 60 buckets of 500 groups are over 20000",
        ),
        ({"scope": {"at_points": [77]}}, "scope.at_points: 77 is no TraceObservationPoint"),
        (
            {"scope": {"since": {"seconds": 2}, "until": {"seconds": 1}}},
            "scope.since: 2000000000 ns is later",
        ),
        ({"scope": {"whitelist": [{"source_port": ["x"]}]}}, "source_port"),
    ],
)
def test_summaries_are_refused_by_field_value_and_rule(
    request_: dict[str, object], text: str
) -> None:
    with pytest.raises(InvalidRequest, match=text):
        asyncio.run(
            queries(core_with_tables()).summarize(
                summary_pb2.SummarizeRequest(**request_),  # type: ignore[arg-type]
                OWN,
            )
        )


async def test_more_queries_than_may_run_at_once_are_refused_until_one_is_done() -> None:
    core = core_with_tables()
    shop(core)
    service = queries(core, QueryLimits(queries_max=1))
    request = summary_pb2.SummarizeRequest()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(service.summarize(request, OWN))
        await asyncio.sleep(0)
        with pytest.raises(Exhausted, match="1 queries are being worked on"):
            await service.filter_hints(hints_pb2.FilterHintsRequest(field=POD), OWN)
    assert running.result().total.flows == 10
    assert service.running == 0
    with pytest.raises(InvalidRequest):
        await service.summarize(summary_pb2.SummarizeRequest(measure=9), OWN)  # type: ignore[arg-type]
    assert (await service.summarize(request, OWN)).total.flows == 10


async def test_explain_is_served_by_the_explainer() -> None:
    request = explanation_pb2.ExplainRequest(uuid="x")
    assert (await queries(core_with_tables()).explain(request, OWN)).headline == "about x"


class OnlyDrops:
    def on_get_flows(
        self, request: observer_pb2.GetFlowsRequest, peer: Peer
    ) -> observer_pb2.GetFlowsRequest:
        if peer.uid == 1:
            raise Refused("not you")
        del request.whitelist[:]
        request.whitelist.add(verdict=[flow_pb2.DROPPED])
        return request


async def test_what_a_hook_keeps_from_streams_is_not_counted_either() -> None:
    core = core_with_tables()
    shop(core)
    hooks = Hooks()
    hooks.register(OnlyDrops(), "only-drops")
    service = queries(core, hooks=hooks)
    assert (await service.summarize(summary_pb2.SummarizeRequest(), OWN)).total.flows == 3
    with pytest.raises(Refused):
        await service.summarize(summary_pb2.SummarizeRequest(), Peer("unix:pid=1", uid=1, pid=1))


def test_flows_overwritten_meanwhile_are_counted_as_such_and_never_torn() -> None:
    """The writer goes on as fast as it can; each row has the same number in all of its columns."""
    core = core_with_tables(capacity=4_095)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            numbers = np.arange(number, number + 512, dtype=np.uint64) % np.uint64(60_000)
            core.ring.append(
                flow_rows(
                    512, source_port=numbers, destination_port=numbers, bytes=numbers, packets=1
                )
            )
            number += 512

    writer = threading.Thread(target=write)
    writer.start()
    try:
        ports = (by(PORT, SOURCE), by(PORT, flow_field_pb2.FLOW_END_DESTINATION))
        overwritten = 0
        for _ in range(40):
            told = summarize(core, *ports, top=1_000)
            for group in told.groups:
                number = int(group.values[0])
                assert group.values[1] == group.values[0]
                assert group.totals.bytes == number * group.totals.flows
            overwritten += told.coverage.overwritten
            assert told.total.flows == told.coverage.looked_at
    finally:
        stop.set()
        writer.join()
    assert overwritten
