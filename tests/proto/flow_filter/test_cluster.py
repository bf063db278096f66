"""Cluster names of filters."""

from __future__ import annotations

import pytest

from palomar_proto.flow_filter.cluster import parse_cluster_names
from palomar_proto.flow_filter.error import FilterError


def test_names_are_taken_as_they_are() -> None:
    assert parse_cluster_names("source_cluster_name", [" west", "*"]) == {" west", "*"}


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(FilterError, match="source_cluster_name: '' is no cluster name"):
        parse_cluster_names("source_cluster_name", ["west", ""])
