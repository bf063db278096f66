from __future__ import annotations

import pytest

from palomar_server.errors import InvalidRequest
from palomar_server.query_limits import QueryLimits, bounded


def test_nothing_asked_for_is_the_default_and_too_much_is_refused() -> None:
    assert [bounded("top", wanted, 10, 20) for wanted in (0, 1, 20)] == [10, 1, 20]
    with pytest.raises(InvalidRequest, match="top: 21 is over 20"):
        bounded("top", 21, 10, 20)


def test_defaults_are_within_the_limits() -> None:
    limits = QueryLimits()
    assert limits.hints_default <= limits.hints_max
    assert limits.groups_default <= limits.groups_max
    assert limits.buckets_default <= limits.buckets_max
    assert limits.groups_default * limits.buckets_default <= limits.group_buckets_max
