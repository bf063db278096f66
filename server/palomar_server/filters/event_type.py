"""FlowFilter.event_type: the monitor message behind an event, flow or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow_filter.event_type import ANY
from palomar_server.filters.predicate import with_messages

if TYPE_CHECKING:
    from palomar_proto.flow_filter.event_type import EventTypePattern
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View


def compile_event_type(field: FieldFilter) -> Predicate:
    """Events of one of the types, and of its subtype where one is asked for."""
    patterns: tuple[EventTypePattern, ...] = field.parsed

    def predicate(view: View) -> Mask:
        types = view.column("event_type")
        mask: Mask = np.zeros(len(types), np.bool_)
        for pattern in patterns:
            # Compared as Python numbers: those of the request may be larger than a column's.
            one: Mask = np.ones(len(types), np.bool_)
            if pattern.type != ANY:
                one &= types == pattern.type
            if pattern.sub_type is not None:
                one &= view.column("event_subtype") == pattern.sub_type
            mask |= one
        return mask

    if all(pattern.type != ANY and pattern.sub_type is None for pattern in patterns):
        return predicate
    # A message from elsewhere may have no type at all, or subtypes that are too large for a column.
    return with_messages(predicate, field.test, but_access_logs=True)
