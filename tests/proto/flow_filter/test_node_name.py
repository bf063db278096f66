"""Patterns of nodes."""

from __future__ import annotations

import pytest

from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.node_name import full_name, parse_node_names


@pytest.mark.parametrize(
    ("pattern", "node_name", "matches"),
    [
        ("node-1", "default/node-1", True),
        ("node-1", "west/node-1", True),
        ("node-1", "node-1", True),
        ("default/node-1", "node-1", True),
        ("west/", "west/anything.example.com", True),
        ("/node-*", "west/node-1", True),
        ("/", "a/b", True),
        ("/", "a/B", False),
        ("west./node-1.", "west/node-1", True),
        ("node", "default/node-1", False),
        ("*", "west/node-1", True),
        ("*", "a/b/c", False),
        ("*", "", False),
    ],
)
def test_pattern_is_of_cluster_and_node(pattern: str, node_name: str, *, matches: bool) -> None:
    assert parse_node_names("node_name", [pattern]).matches(full_name(node_name)) is matches


@pytest.mark.parametrize("pattern", ["", " ", "a/b/c", "..", "a/..", "a/ ", "a/b?", "//"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(FilterError, match=r"^node_name: "):
        parse_node_names("node_name", [pattern])
