"""What a query may ask for: it takes time on the loop that streams need, and makes one message."""

from __future__ import annotations

from dataclasses import dataclass

from palomar_server.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Bounds and defaults of requests of palomar.v1.Queries."""

    queries_max: int = 4
    """Queries worked on at once. They share one core with all streams, so more of them would only
    make all of them late; each holds up to 16 MB meanwhile."""
    hints_max: int = 1_000
    """Values in an answer: more than anybody reads, and with the longest ones still 2 MB."""
    hints_default: int = 50
    """Where a request does not say how many: some screens of a menu."""
    groups_max: int = 1_000
    """Groups in an answer, likewise."""
    groups_default: int = 10
    """Where a request does not say how many: the usual top ten."""
    groupings_max: int = 4
    """Fields to group by: their values are text of each group."""
    buckets_max: int = 1_000
    """Buckets of a histogram: as many as a chart has pixels."""
    buckets_default: int = 60
    """Where a request does not say how many: a minute by seconds, an hour by minutes."""
    group_buckets_max: int = 20_000
    """Buckets of all groups together, each some 15 bytes of the answer."""
    search_characters_max: int = 256
    """Of a search text: names in Kubernetes and DNS have at most 253."""


def bounded(field: str, wanted: int, default: int, most: int) -> int:
    """How many to give: the default for 0.

    Raises:
        InvalidRequest: more are wanted than there may be.
    """
    if wanted > most:
        raise InvalidRequest(field, wanted, f"is over {most}")
    return wanted or default
