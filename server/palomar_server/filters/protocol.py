"""FlowFilter.protocol: the transport protocol, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.errors import InvalidRequest, Unsupported
from palomar_server.filters.predicate import one_of
from palomar_server.table import Flag, Protocol

if TYPE_CHECKING:
    from palomar_proto.flow import flow_pb2
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows

_NUMBERS: dict[str, tuple[Protocol, ...]] = {
    "icmp": (Protocol.ICMP, Protocol.ICMPV6),
    "icmpv4": (Protocol.ICMP,),
    "icmpv6": (Protocol.ICMPV6,),
    "tcp": (Protocol.TCP,),
    "udp": (Protocol.UDP,),
    "sctp": (Protocol.SCTP,),
    "vrrp": (Protocol.VRRP,),
    "igmp": (Protocol.IGMP,),
}
_LAYER_7 = ("dns", "http", "kafka")


def compile_protocol(flow_filter: flow_pb2.FlowFilter, _: Surroundings) -> Predicate:
    """Flows with a transport header of one of the protocols; names in any case."""
    numbers: list[int] = []
    for value in flow_filter.protocol:
        name = value.lower()
        if name in _LAYER_7:
            raise Unsupported(
                f"protocol: this server does not filter by {name}; event_type 129 selects all of "
                "layer 7"
            )
        if name not in _NUMBERS:
            raise InvalidRequest("protocol", value, "is none of " + ", ".join(_NUMBERS))
        numbers += _NUMBERS[name]
    is_one_of = one_of("protocol", numbers)

    def predicate(rows: Rows) -> Mask:
        mask: Mask = is_one_of(rows) & (rows["flags"] & np.uint8(Flag.L4) != 0)
        return mask

    return predicate
