"""Patterns of workloads."""

from __future__ import annotations

import pytest

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.workload import parse_workloads


@pytest.mark.parametrize(
    ("name", "kind", "matches"),
    [
        ("cart", "Deployment", True),
        ("cart", "", True),
        ("", "Deployment", True),
        ("", "", True),
        ("car", "", False),
        ("cart", "deployment", False),
    ],
)
def test_an_empty_part_is_any(name: str, kind: str, *, matches: bool) -> None:
    (pattern,) = parse_workloads("source_workload", [flow_pb2.Workload(name=name, kind=kind)])
    assert pattern.matches("cart", "Deployment") is matches
