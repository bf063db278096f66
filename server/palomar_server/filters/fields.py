"""Every field of FlowFilter, and what compiles it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from palomar_server.filters.cluster import compile_cluster
from palomar_server.filters.drop_reason import compile_drop_reason
from palomar_server.filters.encrypted import compile_encrypted
from palomar_server.filters.event_type import compile_event_type
from palomar_server.filters.expression import compile_expression
from palomar_server.filters.fqdn import compile_fqdn
from palomar_server.filters.identity import compile_identity
from palomar_server.filters.interface import compile_interface
from palomar_server.filters.ip import compile_ip, compile_ip_xlated
from palomar_server.filters.ip_trace_id import compile_ip_trace_id
from palomar_server.filters.ip_version import compile_ip_version
from palomar_server.filters.label import compile_label
from palomar_server.filters.layer7 import compile_layer7
from palomar_server.filters.node import compile_node
from palomar_server.filters.pod import compile_pod
from palomar_server.filters.port import compile_port
from palomar_server.filters.protocol import compile_protocol
from palomar_server.filters.reply import compile_reply
from palomar_server.filters.service import compile_service
from palomar_server.filters.tcp_flags import compile_tcp_flags
from palomar_server.filters.traffic_direction import compile_traffic_direction
from palomar_server.filters.uuid import compile_uuid
from palomar_server.filters.verdict import compile_verdict
from palomar_server.filters.workload import compile_workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_server.filters.predicate import FieldFilter, Predicate


class Field(NamedTuple):
    """How a field becomes a predicate."""

    compile: Callable[[FieldFilter], Predicate]
    is_slow: bool = False
    """Whether rows may have to be asked one by one: flows that have a message, or all."""
    of_all_kinds: bool = False
    """Whether it has its own say about events that are no flows; the others refuse those."""


FIELDS: dict[str, Field] = {
    # Cheapest and most selective first: each field only sees what those before it left.
    "verdict": Field(compile_verdict),
    "drop_reason_desc": Field(compile_drop_reason),
    "event_type": Field(compile_event_type, of_all_kinds=True),
    "traffic_direction": Field(compile_traffic_direction),
    "reply": Field(compile_reply),
    "ip_version": Field(compile_ip_version),
    "encrypted": Field(compile_encrypted),
    "source_port": Field(compile_port),
    "destination_port": Field(compile_port),
    "source_identity": Field(compile_identity),
    "destination_identity": Field(compile_identity),
    "source_pod": Field(compile_pod),
    "destination_pod": Field(compile_pod),
    "source_workload": Field(compile_workload),
    "destination_workload": Field(compile_workload),
    "interface": Field(compile_interface),
    "ip_trace_id": Field(compile_ip_trace_id, of_all_kinds=True),
    # From here on flows that have a message are asked one by one.
    "uuid": Field(compile_uuid, is_slow=True),
    "protocol": Field(compile_protocol, is_slow=True),
    "tcp_flags": Field(compile_tcp_flags, is_slow=True),
    "source_ip": Field(compile_ip, is_slow=True),
    "destination_ip": Field(compile_ip, is_slow=True),
    "source_ip_xlated": Field(compile_ip_xlated, is_slow=True),
    "source_cluster_name": Field(compile_cluster, is_slow=True),
    "destination_cluster_name": Field(compile_cluster, is_slow=True),
    "source_label": Field(compile_label, is_slow=True, of_all_kinds=True),
    "destination_label": Field(compile_label, is_slow=True, of_all_kinds=True),
    "node_name": Field(compile_node, is_slow=True),
    "node_labels": Field(compile_node, is_slow=True, of_all_kinds=True),
    "source_service": Field(compile_service, is_slow=True),
    "destination_service": Field(compile_service, is_slow=True),
    "source_fqdn": Field(compile_fqdn, is_slow=True),
    "destination_fqdn": Field(compile_fqdn, is_slow=True),
    "http_status_code": Field(compile_layer7, is_slow=True),
    "http_method": Field(compile_layer7, is_slow=True),
    "http_header": Field(compile_layer7, is_slow=True),
    "trace_id": Field(compile_layer7, is_slow=True, of_all_kinds=True),
    "dns_query": Field(compile_layer7, is_slow=True),
    "http_path": Field(compile_layer7, is_slow=True),
    "http_url": Field(compile_layer7, is_slow=True),
    "experimental": Field(compile_expression, is_slow=True, of_all_kinds=True),
}
"""By proto name, in the order of evaluation."""
