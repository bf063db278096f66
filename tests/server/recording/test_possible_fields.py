from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_server.errors import InvalidRequest
from palomar_server.recording.possible_fields import check_possible

FlowFilter = flow_pb2.FlowFilter
Type = flow_pb2.EventTypeFilter


@pytest.mark.parametrize(
    ("flow_filter", "text"),
    [
        (FlowFilter(http_method=["GET"]), "whitelist[0].http_method: ['GET'] is of requests"),
        (FlowFilter(dns_query=["x"]), "name the port instead"),
        (FlowFilter(trace_id=["x"]), "whitelist[0].trace_id"),
        (FlowFilter(protocol=["tcp", "HTTP"]), "whitelist[0].protocol: 'HTTP' is of requests"),
        (FlowFilter(uuid=["x"]), "packets have none"),
        (FlowFilter(source_ip_xlated=["::1"]), "recorded as they are seen"),
        (FlowFilter(verdict=[flow_pb2.ERROR]), "'ERROR' is no verdict of a packet"),
        (FlowFilter(event_type=[Type(type=129)]), "whitelist[0].event_type: [129] is no event"),
    ],
)
def test_what_no_packet_can_match_is_refused(flow_filter: flow_pb2.FlowFilter, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_possible(flow_filter, "whitelist[0]")
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "flow_filter",
    [
        FlowFilter(),
        FlowFilter(verdict=[flow_pb2.ERROR, flow_pb2.DROPPED]),
        FlowFilter(event_type=[Type(type=129), Type(type=1)]),
        FlowFilter(event_type=[Type()]),
        FlowFilter(protocol=["TCP", "icmp"]),
        FlowFilter(source_pod=["web"], reply=[True]),
    ],
)
def test_what_some_packet_can_match_is_taken(flow_filter: flow_pb2.FlowFilter) -> None:
    check_possible(flow_filter, "whitelist[0]")
