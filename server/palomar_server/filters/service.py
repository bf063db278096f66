"""FlowFilter.source_service and destination_service: whose address and port an end is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.filters.address_names import AddressNamePredicate
from palomar_server.filters.name_prefixes import NamePrefixes
from palomar_server.filters.predicate import with_messages

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.view import View


def compile_service(field: FieldFilter) -> Predicate:
    """Flows with one of the services at that end."""
    prefixes, names = NamePrefixes(field.parsed), field.surroundings.names
    port_column = f"{field.side}_port"

    def matches(hi: int, lo: int, port: int) -> bool:
        service = names.service((hi, lo), port)
        return service is not None and prefixes.match(service.namespace, service.name)

    def ports(view: View) -> NDArray[np.unsignedinteger]:
        return view.column(port_column)

    return with_messages(AddressNamePredicate(field.side, names, ports, matches), field.test)
