from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_proto.palomar.v1 import flow_scope_pb2
from palomar_server.errors import InvalidRequest
from palomar_server.filters.compiled import CompiledFilter
from palomar_server.flow_scope import Scope, as_flows_request
from palomar_server.table import Kind
from palomar_server.testing import START_NS, Core, flow_rows, view_of


def scope_of(told: flow_scope_pb2.FlowScope) -> Scope:
    core = Core()
    request = as_flows_request(told)
    matching = CompiledFilter(request.whitelist, request.blacklist, core.surroundings, core.encoder)
    return Scope(request, matching, frozenset(told.at_points))


def test_request_for_flows_has_filters_and_times() -> None:
    told = flow_scope_pb2.FlowScope(
        whitelist=[flow_pb2.FlowFilter(source_ip=["10.0.0.1"])],
        blacklist=[flow_pb2.FlowFilter(reply=[True])],
        since=Timestamp(seconds=1),
        until=Timestamp(seconds=2),
    )
    assert as_flows_request(told) == observer_pb2.GetFlowsRequest(
        whitelist=told.whitelist,
        blacklist=told.blacklist,
        since=Timestamp(seconds=1),
        until=Timestamp(seconds=2),
    )
    assert as_flows_request(flow_scope_pb2.FlowScope()) == observer_pb2.GetFlowsRequest()


def test_flows_are_in_it_that_pass_all_parts_and_other_events_never() -> None:
    rows = flow_rows(
        6,
        kind=[0, 0, 0, 0, 0, Kind.AGENT],
        verdict=[1, 1, 2, 1, 1, 1],
        observation_point=[5, 5, 5, 0, 5, 5],
    )
    told = flow_scope_pb2.FlowScope(
        whitelist=[flow_pb2.FlowFilter(verdict=[flow_pb2.FORWARDED])],
        at_points=[flow_pb2.FROM_ENDPOINT],
    )
    told.since.FromNanoseconds(START_NS + 1_000_000_000)
    assert scope_of(told).mask(view_of(rows)).nonzero()[0].tolist() == [1, 4]
    told.until.FromNanoseconds(START_NS + 1_000_000_000)
    assert scope_of(told).mask(view_of(rows)).nonzero()[0].tolist() == [1]
    everything = scope_of(flow_scope_pb2.FlowScope())
    assert everything.mask(view_of(rows[:5])).all()


def test_times_no_row_can_have_are_taken_for_the_nearest_ones() -> None:
    told = flow_scope_pb2.FlowScope(since=Timestamp(seconds=-5), until=Timestamp(seconds=1 << 40))
    scope = scope_of(told)
    assert (scope.since_ns, scope.until_ns) == (0, (1 << 64) - 1)


def test_since_behind_until_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"scope\.since"):
        scope_of(flow_scope_pb2.FlowScope(since=Timestamp(seconds=2), until=Timestamp(seconds=1)))
