"""Fields whose values are compared as they are: numbers, enums, bools and identifiers.

uuid, verdict, drop_reason_desc, traffic_direction, ip_version, reply, encrypted, trace_id,
ip_trace_id, source_identity and destination_identity. Every value is valid; one that nothing has
matches nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T", str, int, bool)


def parse_values(
    field: str,  # noqa: ARG001 - every parse function takes it
    values: Iterable[T],
) -> frozenset[T]:
    """The values of a field, as alternatives."""
    return frozenset(values)
