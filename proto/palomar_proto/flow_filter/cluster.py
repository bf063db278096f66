"""source_cluster_name and destination_cluster_name: exact names, without wildcards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow_filter.error import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterable


def parse_cluster_names(field: str, values: Iterable[str]) -> frozenset[str]:
    """The names of a field, as alternatives.

    Raises:
        FilterError: a name is empty.
    """
    names = frozenset(values)
    if "" in names:
        raise FilterError(field, "", "is no cluster name: it is empty")
    return names
