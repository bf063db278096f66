"""protocol: names of transport and application protocols, in any case of letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow_filter.error import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterable

L4_PROTOCOLS: dict[str, tuple[str, ...]] = {
    "icmp": ("ICMPv4", "ICMPv6"),
    "icmpv4": ("ICMPv4",),
    "icmpv6": ("ICMPv6",),
    "tcp": ("TCP",),
    "udp": ("UDP",),
    "sctp": ("SCTP",),
    "vrrp": ("VRRP",),
    "igmp": ("IGMP",),
}
"""What each name stands for: members of Flow.l4's oneof."""
L7_PROTOCOLS = ("dns", "http", "kafka")
"""Names that are members of Flow.l7's oneof themselves."""


def parse_protocols(field: str, values: Iterable[str]) -> frozenset[str]:
    """The oneof members of a field, as alternatives: of Flow.l4 (`TCP`) and Flow.l7 (`dns`).

    Raises:
        FilterError: a value is no protocol's name.
    """
    members: set[str] = set()
    for value in values:
        name = value.lower()
        if name in L7_PROTOCOLS:
            members.add(name)
        elif name in L4_PROTOCOLS:
            members.update(L4_PROTOCOLS[name])
        else:
            known = ", ".join((*L4_PROTOCOLS, *L7_PROTOCOLS))
            raise FilterError(field, value, f"is no protocol; there are {known}")
    return frozenset(members)
