"""FlowFilter.http_…, dns_query and trace_id: what only messages of flows tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_server.filters.predicate import constant, with_messages

if TYPE_CHECKING:
    from palomar_server.filters.predicate import FieldFilter, Predicate


def compile_layer7(field: FieldFilter) -> Predicate:
    """Flows whose message matches the field; without one they are as good as empty."""
    return with_messages(constant(field.test(flow_pb2.Flow())), field.test)
