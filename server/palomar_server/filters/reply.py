"""FlowFilter.reply: whether a packet goes against the direction its connection was opened in.

An unknown direction matches nothing, except that drops, which never know, count as no reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View

_DROPPED = np.uint8(flow_pb2.DROPPED)
_YES, _NO = np.int8(1), np.int8(0)


def compile_reply(field: FieldFilter) -> Predicate:
    """Flows whose reply flag is one of the values."""
    wanted = set(field.parsed)

    def predicate(view: View) -> Mask:
        replies = view.column("is_reply")
        mask: Mask = np.zeros(len(replies), np.bool_)
        if True in wanted:
            mask |= replies == _YES
        if False in wanted:
            mask |= replies == _NO
            mask |= (replies < _NO) & (view.column("verdict") == _DROPPED)
        return mask

    return predicate
