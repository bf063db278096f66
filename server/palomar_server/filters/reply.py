"""FlowFilter.reply: whether a packet goes against the direction its connection was opened in.

An unknown direction matches nothing, except that drops, which never know, count as no reply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2

if TYPE_CHECKING:
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows


def compile_reply(flow_filter: flow_pb2.FlowFilter, _: Surroundings) -> Predicate:
    """Flows whose reply flag is one of the values."""
    wanted = set(flow_filter.reply)

    def predicate(rows: Rows) -> Mask:
        mask: Mask = np.zeros(len(rows), np.bool_)
        if True in wanted:
            mask |= rows["is_reply"] == 1
        if False in wanted:
            mask |= rows["is_reply"] == 0
            mask |= (rows["is_reply"] < 0) & (rows["verdict"] == flow_pb2.DROPPED)
        return mask

    return predicate
