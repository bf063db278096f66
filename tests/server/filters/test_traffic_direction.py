from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import selected


def test_flows_match_by_any_of_the_directions() -> None:
    directions = [flow_pb2.TRAFFIC_DIRECTION_UNKNOWN, flow_pb2.INGRESS, flow_pb2.EGRESS]
    rows = flow_rows(3, direction=directions)
    for number, direction in enumerate(directions):
        assert selected(rows, traffic_direction=[direction]) == [number]
    assert selected(rows, traffic_direction=directions) == [0, 1, 2]
