"""FlowFilter.source_fqdn and destination_fqdn: DNS names by which the other end knows an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.filters.address_names import AddressNamePredicate
from palomar_server.filters.predicate import with_messages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from palomar_proto.flow_filter.fqdn import NamePatterns
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.view import View


def compile_fqdn(field: FieldFilter) -> Predicate:
    """Flows with one of the names at that end."""
    patterns: NamePatterns = field.parsed
    names, endpoints = field.surroundings.names, field.surroundings.endpoints
    other_column = "destination_endpoint" if field.side == "source" else "source_endpoint"

    def matches(hi: int, lo: int, endpoint_id: int) -> bool:
        return any(patterns.matches(name) for name in names.dns(endpoint_id, (hi, lo)))

    def other_ids(view: View) -> NDArray[np.unsignedinteger]:
        # Clipped: a row that the writer is overwriting may name an endpoint that is none.
        ids: NDArray[np.unsignedinteger] = endpoints.ids.take(
            view.column(other_column), mode="clip"
        )
        return ids

    return with_messages(AddressNamePredicate(field.side, names, other_ids, matches), field.test)
