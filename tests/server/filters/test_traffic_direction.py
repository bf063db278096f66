from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import EndpointTable
from palomar_server.filters.traffic_direction import compile_traffic_direction
from palomar_server.surroundings import Surroundings
from palomar_server.testing import flow_rows


def test_flows_match_by_any_of_the_directions() -> None:
    directions = [flow_pb2.TRAFFIC_DIRECTION_UNKNOWN, flow_pb2.INGRESS, flow_pb2.EGRESS]
    rows = flow_rows(3, direction=directions)
    for number, direction in enumerate(directions):
        wanted = flow_pb2.FlowFilter(traffic_direction=[direction])
        mask = compile_traffic_direction(wanted, Surroundings(EndpointTable()))(rows)
        assert mask.tolist() == [index == number for index in range(3)]
