"""FlowFilter.source_port and destination_port: ports of TCP, UDP and SCTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.errors import InvalidRequest
from palomar_server.filters.predicate import one_of
from palomar_server.table import Flag, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_proto.flow import flow_pb2
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows

_PORTS = 65_536
_DIGITS_MAX = 5
_HAS_PORTS = one_of("protocol", (Protocol.TCP, Protocol.UDP, Protocol.SCTP))


def _compile(side: str, values: Sequence[str]) -> Predicate:
    wanted = np.zeros(_PORTS, np.bool_)
    for value in values:
        # Stripped, since Python refuses to convert thousands of digits.
        digits = value.lstrip("0") or value[:1]
        valid = digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX
        if not valid or int(digits) >= _PORTS:
            raise InvalidRequest(f"{side}_port", value, f"is no port number from 0 to {_PORTS - 1}")
        wanted[int(digits)] = True

    def predicate(rows: Rows) -> Mask:
        mask: Mask = wanted[rows[f"{side}_port"]]
        mask &= _HAS_PORTS(rows)
        mask &= rows["flags"] & np.uint8(Flag.L4) != 0
        return mask

    return predicate


def compile_source_port(flow_filter: flow_pb2.FlowFilter, _: Surroundings) -> Predicate:
    """Flows from one of the ports."""
    return _compile("source", flow_filter.source_port)


def compile_destination_port(flow_filter: flow_pb2.FlowFilter, _: Surroundings) -> Predicate:
    """Flows to one of the ports."""
    return _compile("destination", flow_filter.destination_port)
