from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_server.testing import flow_rows
from tests.server.filters.selecting import selected


def test_flows_match_by_version_and_without_ip_by_none() -> None:
    rows = flow_rows(3, ip_version=[0, flow_pb2.IPv4, flow_pb2.IPv6])
    assert selected(rows, ip_version=[flow_pb2.IPv6]) == [2]
    assert selected(rows, ip_version=[flow_pb2.IP_NOT_USED, flow_pb2.IPv4]) == [0, 1]
