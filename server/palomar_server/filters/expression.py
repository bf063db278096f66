"""FlowFilter.experimental: CEL expressions over the whole flow, for which it has to be built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_server.filters.predicate import is_flow

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate
    from palomar_server.table import Mask
    from palomar_server.view import View


def compile_expression(field: FieldFilter) -> Predicate:
    """Events for which one of the expressions is true."""
    of_others = field.test(flow_pb2.AgentEvent())

    def predicate(view: View) -> Mask:
        mask = is_flow(view)
        flows = mask.nonzero()[0]
        mask[:] = of_others
        for index in flows.tolist():
            mask[index] = field.test(view.flow(index))
        return mask

    return predicate
