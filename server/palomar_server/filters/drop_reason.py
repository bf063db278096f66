"""FlowFilter.drop_reason_desc: why a packet was dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.filters.predicate import one_of

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View

_DROPPED = np.uint8(flow_pb2.DROPPED)
_UINT32 = (1 << 32) - 1


def compile_drop_reason(field: FieldFilter) -> Predicate:
    """Dropped flows with one of the reasons."""
    # The message has 32 bits with a sign, the column has the same bits without one.
    is_reason = one_of("drop_reason", (reason & _UINT32 for reason in field.parsed))

    def predicate(view: View) -> Mask:
        mask = is_reason(view)
        mask &= view.column("verdict") == _DROPPED
        return mask

    return predicate
