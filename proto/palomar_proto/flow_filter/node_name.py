"""node_name: patterns `cluster/node`, each part as in fqdn.

Without a slash the pattern is of the node, in any cluster; an empty part is anything that is a
name. A flow's node without a cluster is in the cluster `default`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow_filter.error import FilterError
from palomar_proto.flow_filter.fqdn import NamePatterns, name_expression, name_patterns

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_CLUSTER = "default"
_ANY_NAME = r"[-0-9_a-z]+(?:\.[-0-9_a-z]+)*"
_PARTS_MAX = 2


def parse_node_names(field: str, values: Iterable[str]) -> NamePatterns:
    """The patterns of a field; they match what `full_name` gives.

    Raises:
        FilterError: a pattern is empty, has a second slash, or a part is no pattern.
    """
    return name_patterns(field, [_expression(field, value) for value in values])


def full_name(node_name: str) -> str:
    """A flow's node name with its cluster; empty for an empty one, which never matches."""
    if not node_name or "/" in node_name:
        return node_name
    return f"{DEFAULT_CLUSTER}/{node_name}"


def _expression(field: str, value: str) -> str:
    if not value:
        raise FilterError(field, value, "is an empty pattern")
    parts = value.split("/")
    if len(parts) > _PARTS_MAX:
        raise FilterError(field, value, "has more than one slash; write [cluster/]node")
    if len(parts) == 1:
        parts.insert(0, "")
    return "/".join(name_expression(field, value, part) if part else _ANY_NAME for part in parts)
