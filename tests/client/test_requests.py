from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from palomar.errors import InvalidRequest
from palomar.filters import Filter
from palomar.requests import (
    NUMBER_MAX,
    Batching,
    Selection,
    add_batch_options,
    events_request,
    flows_request,
    keyword_request,
)
from palomar_proto.flow.flow_pb2 import DROPPED, FlowFilter
from palomar_proto.observer.observer_pb2 import GetDebugEventsRequest, GetFlowsRequest
from palomar_proto.palomar.v1.flow_batches_pb2 import BatchOptions

NOW_NS = 1_700_000_000 * 10**9


def request(*filters: Any, exclude: Any = (), **keywords: Any) -> GetFlowsRequest:
    return keyword_request(filters, exclude, NOW_NS, **keywords)


@pytest.mark.parametrize(
    ("keywords", "number"),
    [
        ({}, 20),
        ({"last": 5}, 5),
        ({"first": 5}, 5),
        ({"all": True}, NUMBER_MAX),
        ({"follow": True}, 0),
        ({"follow": True, "last": 2}, 2),
        ({"follow": True, "all": True}, NUMBER_MAX),
        ({"since": "5m"}, 0),
        ({"since": "5m", "last": 3}, 3),
        ({"since": "5m", "all": True}, 0),
        ({"until": "5m"}, NUMBER_MAX),
        ({"until": "5m", "follow": True}, 0),
    ],
)
def test_number_of_flows(keywords: dict[str, Any], number: int) -> None:
    assert request(**keywords).number == number


@pytest.mark.parametrize(
    "keywords",
    [{"first": 1, "last": 1}, {"first": 1, "all": True}, {"last": 1, "all": True},
     {"first": 1, "follow": True}],
)  # fmt: skip
def test_selections_that_exclude_each_other_are_refused(keywords: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="cannot be combined"):
        request(**keywords)


def test_negative_and_too_large_numbers_are_refused() -> None:
    for number in (-1, 2**64):
        with pytest.raises(InvalidRequest, match=str(number)):
            Selection(last=number)


def test_times_are_nanosecond_timestamps() -> None:
    made = request(since=timedelta(minutes=5), until="2024-03-05T10:20:30.123456789Z")
    assert (made.since.seconds, made.since.nanos) == (1_699_999_700, 0)
    assert made.until.nanos == 123456789


def test_until_is_left_out_when_following_but_still_read() -> None:
    assert not request(until="5m", follow=True).HasField("until")
    with pytest.raises(InvalidRequest, match="nonsense"):
        request(until="nonsense", follow=True)


def test_fields_become_a_mask_and_none_asks_for_all() -> None:
    assert list(request(fields=["uuid", "source.pod_name"]).field_mask.paths) == [
        "uuid",
        "source.pod_name",
    ]
    assert list(request(fields="uuid").field_mask.paths) == ["uuid"]
    assert not request().HasField("field_mask")


def test_no_time_ago_is_a_time_and_no_text_is_none() -> None:
    now = request(since=timedelta(0))
    assert now.since.seconds == 1_700_000_000
    assert now.number == 0
    assert request(since="") == request()


def test_keywords_objects_and_messages_select_the_same() -> None:
    by_keyword = request(verdict="drop")
    assert by_keyword == request(Filter(verdict="drop"))
    assert by_keyword == request(FlowFilter(verdict=[DROPPED]))
    assert list(by_keyword.whitelist) == [FlowFilter(verdict=[DROPPED])]


def test_exclusions_go_to_the_blacklist() -> None:
    made = request(exclude=[Filter(port=53), FlowFilter(verdict=[DROPPED])])
    assert len(made.blacklist) == 3
    assert not made.whitelist


def test_a_filter_may_bring_exclusions() -> None:
    made = request(Filter(from_pod="a/x", not_to_port=53), exclude=[Filter(verdict="drop")])
    assert list(made.whitelist) == [FlowFilter(source_pod=["a/x"])]
    assert list(made.blacklist) == [
        FlowFilter(destination_port=["53"]),
        FlowFilter(verdict=[DROPPED]),
    ]
    assert request(from_pod="a/x", not_to_port=53).whitelist == made.whitelist
    assert not request(not_port=53).whitelist


def test_alternatives_with_exclusions_must_have_the_same() -> None:
    dns = ~Filter(to_port=53)
    made = request(Filter(from_pod="a/x") & dns, Filter(uuid="y") & dns)
    assert len(made.whitelist) == 2
    assert list(made.blacklist) == [FlowFilter(destination_port=["53"])]
    with pytest.raises(InvalidRequest, match="leave out different flows"):
        request(Filter(from_pod="a/x") & dns, FlowFilter(uuid=["y"]))
    with pytest.raises(InvalidRequest, match="allow and deny"):
        request(exclude=[Filter(from_pod="a/x") & dns])


def test_filters_come_one_way() -> None:
    with pytest.raises(InvalidRequest, match="pod"):
        request(Filter(port=53), pod="x")


def test_unknown_keyword_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="'pot' is no keyword"):
        request(pot="x")


def test_flows_request_takes_ready_messages() -> None:
    made = flows_request(Selection(first=3), [FlowFilter()], [], NOW_NS)
    assert (made.number, made.first, list(made.whitelist)) == (3, True, [FlowFilter()])


@pytest.mark.parametrize(
    ("selection", "number"),
    [(Selection(), 20), (Selection(follow=True), 20), (Selection(since="5m"), 0),
     (Selection(until="5m"), NUMBER_MAX), (Selection(until="5m", follow=True), 20)],
)  # fmt: skip
def test_events_are_the_last_even_when_following(selection: Selection, number: int) -> None:
    made = events_request(GetDebugEventsRequest, selection, NOW_NS)
    assert (made.number, made.follow) == (number, selection.follow)


def test_events_come_whole() -> None:
    with pytest.raises(InvalidRequest, match="of flows"):
        events_request(GetDebugEventsRequest, Selection(fields=["message"]), NOW_NS)


def test_batches_without_wishes_leave_the_request_as_it_is() -> None:
    request = GetFlowsRequest()
    add_batch_options(request)
    add_batch_options(request, batching=Batching())
    assert request == GetFlowsRequest()


def test_wishes_for_batches_go_into_the_extension() -> None:
    request, options = GetFlowsRequest(), BatchOptions()
    batching = Batching(responses_max=3, bytes_max=4, delay_max=timedelta(milliseconds=250))
    add_batch_options(request, b"token", batching)
    assert request.extensions.Unpack(options)
    assert options == BatchOptions(
        resume_token=b"token",
        responses_max=3,
        bytes_max=4,
        delay_max=Duration(nanos=250_000_000),
    )


@pytest.mark.parametrize(
    "wishes",
    [{"responses_max": -1}, {"bytes_max": 2**32}, {"delay_max": timedelta(seconds=-1)}],
)
def test_wishes_that_mean_nothing_are_refused(wishes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(wishes))):
        Batching(**wishes)
