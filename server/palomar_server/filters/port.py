"""FlowFilter.source_port and destination_port: ports of TCP, UDP and SCTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_server.filters.predicate import has_flags, one_of
from palomar_server.table import Flag, Protocol

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View

_HAS_PORTS = one_of("protocol", (Protocol.TCP, Protocol.UDP, Protocol.SCTP))
_HAS_TRANSPORT = has_flags(Flag.L4)


def compile_port(field: FieldFilter) -> Predicate:
    """Flows with one of the ports at that end."""
    is_port = one_of(f"{field.side}_port", field.parsed)

    def predicate(view: View) -> Mask:
        mask = is_port(view)
        mask &= _HAS_PORTS(view)
        mask &= _HAS_TRANSPORT(view)
        return mask

    return predicate
