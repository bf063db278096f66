"""FlowFilter.tcp_flags: flags that have to be set, while others may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_server.filters.predicate import has_flags, one_of, with_messages
from palomar_server.table import Flag, Protocol

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View

_IS_TCP = one_of("protocol", [Protocol.TCP])
_HAS_TRANSPORT = has_flags(Flag.L4)
_TRACE_SOCK = np.uint8(MessageType.TRACE_SOCK)


def compile_tcp_flags(field: FieldFilter) -> Predicate:
    """Flows that have all flags of one of the values; socket events have no TCP header."""
    wanted = [np.uint16(bits) for bits in field.parsed]

    def predicate(view: View) -> Mask:
        mask = _IS_TCP(view)
        mask &= _HAS_TRANSPORT(view)
        mask &= view.column("event_type") != _TRACE_SOCK
        flags = view.column("tcp_flags")
        found: Mask = np.zeros(len(flags), np.bool_)
        for bits in wanted:
            found |= flags & bits == bits
        mask &= found
        return mask

    # Access logs know ports, and of a few protocols which, but no flags.
    return with_messages(predicate, field.test)
