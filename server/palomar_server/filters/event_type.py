"""FlowFilter.event_type: the monitor message behind a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from palomar_proto.flow import flow_pb2
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows

ANY_TYPE = 0


def compile_event_type(flow_filter: flow_pb2.FlowFilter, _: Surroundings) -> Predicate:
    """Events of one of the types, and of its subtype where `match_sub_type` asks for it."""
    wanted = [(one.type, one.match_sub_type, one.sub_type) for one in flow_filter.event_type]

    def predicate(rows: Rows) -> Mask:
        mask: Mask = np.zeros(len(rows), np.bool_)
        for event_type, match_sub_type, sub_type in wanted:
            one: Mask = np.ones(len(rows), np.bool_)
            if event_type != ANY_TYPE:
                one &= rows["event_type"] == event_type
            if match_sub_type:
                one &= rows["event_subtype"] == sub_type
            mask |= one
        return mask

    return predicate
