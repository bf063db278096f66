from datetime import timedelta
from typing import Any

import pytest

from palomar.errors import InvalidRequest
from palomar.filter_flags import FilterKeywords
from palomar.filters import Filter
from palomar.recording_requests import (
    RecordKeywords,
    list_request,
    start_request,
    status_names,
)
from palomar_proto.flow.flow_pb2 import DROPPED, FlowFilter
from palomar_proto.palomar.v1.recordings_pb2 import (
    RECORDING_FORMAT_PCAP,
    RECORDING_FORMAT_PCAPNG,
    RECORDING_STATUS_ARMED,
    RECORDING_STATUS_FAILED,
    ListRequest,
    PacketTuple,
    StartRequest,
)

DROPS = FlowFilter(verdict=[DROPPED])


def test_without_keywords_it_is_every_packet_whole_in_pcapng() -> None:
    request = start_request((), ())
    assert request.format == RECORDING_FORMAT_PCAPNG
    assert request.filter.ByteSize() == 0
    assert request.stop.ByteSize() == 0
    assert not request.HasField("trigger")
    assert not request.HasField("keep")


def test_every_keyword_has_its_field() -> None:
    request = start_request(
        (),
        (FlowFilter(source_port=["53"]),),
        verdict="dropped",
        tuples=["* * * 80 tcp", PacketTuple(protocol=17)],
        pcap_filter="tcp[13] & 2 != 0",
        one_way=True,
        name="web-1",
        format="pcap",
        snaplen_bytes=128,
        packets_max=10,
        bytes_max=1 << 40,
        duration="1m30s",
        trigger="verdict=drop",
        before=timedelta(seconds=2),
        keep="24h",
    )
    assert list(request.filter.whitelist) == [DROPS]
    assert list(request.filter.blacklist) == [FlowFilter(source_port=["53"])]
    assert [one.protocol for one in request.filter.tuples] == [6, 17]
    assert request.filter.pcap_filter == "tcp[13] & 2 != 0"
    assert request.filter.one_way
    assert request.name == "web-1"
    assert request.format == RECORDING_FORMAT_PCAP
    assert request.snaplen_bytes == 128
    assert (request.stop.packets, request.stop.bytes) == (10, 1 << 40)
    assert request.stop.duration.ToTimedelta() == timedelta(seconds=90)
    assert list(request.trigger.filters) == [DROPS]
    assert request.trigger.before.ToTimedelta() == timedelta(seconds=2)
    assert request.keep.ToTimedelta() == timedelta(days=1)


def test_filters_may_be_objects_and_leave_something_out() -> None:
    request = start_request((Filter(pod="web") & ~Filter(port=443),), ())
    assert len(request.filter.whitelist) == 2
    assert len(request.filter.blacklist) == 2


def test_trigger_may_be_a_filter_or_a_message() -> None:
    for trigger in (Filter(verdict="dropped"), DROPS):
        assert list(start_request((), (), trigger=trigger).trigger.filters) == [DROPS]


def test_packets_before_need_no_trigger() -> None:
    request = start_request((), (), before="2s")
    assert request.HasField("trigger")
    assert not request.trigger.filters


def test_one_tuple_needs_no_list() -> None:
    assert len(start_request((), (), tuples="* * * 80").filter.tuples) == 1


@pytest.mark.parametrize(
    "keywords",
    [
        {"name": "Web"},
        {"name": "../../etc"},
        {"name": "a" * 41},
        {"format": "erf"},
        {"packets_max": -1},
        {"packets_max": "7"},
        {"bytes_max": 1 << 64},
        {"snaplen_bytes": 1 << 32},
        {"duration": "5"},
        {"before": timedelta(seconds=-1)},
        {"trigger": "nonsense"},
        {"trigger": Filter(not_pod="web")},
        {"tuples": "x"},
        {"port": "x"},
    ],
)
def test_values_that_mean_nothing_are_refused(keywords: Any) -> None:
    with pytest.raises(InvalidRequest):
        start_request((), (), **keywords)


def test_filters_come_one_way_only() -> None:
    with pytest.raises(InvalidRequest, match="both as objects and as keywords"):
        start_request((DROPS,), (), pod="web")


def test_unknown_keywords_are_a_mistake_of_the_program() -> None:
    wrong: Any = {"colour": "red"}
    with pytest.raises(TypeError, match=r"'colour' is no keyword of a recording.* packets_max"):
        start_request((), (), **wrong)


def test_keywords_of_its_own_are_no_filters() -> None:
    own = {"tuples", "pcap_filter", "one_way", "name", "format", "snaplen_bytes", "packets_max",
           "bytes_max", "duration", "trigger", "before", "keep"}  # fmt: skip
    assert RecordKeywords.__annotations__.keys() - FilterKeywords.__annotations__.keys() == own
    assert own.isdisjoint(FilterKeywords.__annotations__)


def test_list_is_asked_for_by_names_of_states() -> None:
    statuses = [RECORDING_STATUS_ARMED, RECORDING_STATUS_FAILED]
    assert list_request(["armed", "Failed "], 3) == ListRequest(statuses=statuses, limit=3)
    assert status_names() == [
        "armed", "running", "stopping", "complete", "failed", "interrupted", "starting",
    ]  # fmt: skip
    with pytest.raises(InvalidRequest, match="one of armed, "):
        list_request(["done"], 0)
    with pytest.raises(InvalidRequest):
        list_request([], -1)


def test_requests_are_of_the_type_that_is_sent() -> None:
    assert isinstance(start_request((), ()), StartRequest)
