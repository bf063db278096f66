"""Values that are compared as they are."""

from __future__ import annotations

from palomar_proto.flow_filter.enumeration import parse_values


def test_values_are_a_set() -> None:
    assert parse_values("verdict", [2, 1, 2, 99]) == {1, 2, 99}
    assert parse_values("reply", [False, False]) == {False}
