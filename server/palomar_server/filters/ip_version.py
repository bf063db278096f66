"""FlowFilter.ip_version: IPv4, IPv6, or neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.filters.predicate import one_of

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate


def compile_ip_version(field: FieldFilter) -> Predicate:
    """Flows of one of the versions; without an IP header the version is 0."""
    return one_of("ip_version", field.parsed)
