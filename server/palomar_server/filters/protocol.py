"""FlowFilter.protocol: transport and application protocols, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow_filter.protocol import L7_PROTOCOLS
from palomar_server.filters.predicate import has_flags, one_of, with_messages
from palomar_server.table import Flag, Protocol

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View

NUMBERS = {
    "ICMPv4": Protocol.ICMP,
    "ICMPv6": Protocol.ICMPV6,
    "TCP": Protocol.TCP,
    "UDP": Protocol.UDP,
    "SCTP": Protocol.SCTP,
    "VRRP": Protocol.VRRP,
    "IGMP": Protocol.IGMP,
}
"""By the member of Flow.l4 that the protocol is told in."""
_HAS_TRANSPORT = has_flags(Flag.L4)


def compile_protocol(field: FieldFilter) -> Predicate:
    """Flows of one of the protocols; those of applications are in messages only."""
    members: frozenset[str] = field.parsed
    is_transport = one_of("protocol", [NUMBERS[name] for name in members if name in NUMBERS])

    def predicate(view: View) -> Mask:
        mask = is_transport(view)
        mask &= _HAS_TRANSPORT(view)
        return mask

    return with_messages(predicate, field.test) if members & set(L7_PROTOCOLS) else predicate
