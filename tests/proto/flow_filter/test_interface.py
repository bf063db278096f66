"""Interfaces of filters."""

from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter.interface import parse_interfaces


def test_index_and_name_both_have_to_fit() -> None:
    both, index, name, any_ = parse_interfaces(
        "interface",
        [
            flow_pb2.NetworkInterface(index=2, name="eth0"),
            flow_pb2.NetworkInterface(index=2),
            flow_pb2.NetworkInterface(name="eth0"),
            flow_pb2.NetworkInterface(),
        ],
    )
    assert [one.matches(2, "eth0") for one in (both, index, name, any_)] == [True] * 4
    assert [one.matches(3, "eth0") for one in (both, index, name, any_)] == [
        False,
        False,
        True,
        True,
    ]
    assert not name.matches(2, "eth")
