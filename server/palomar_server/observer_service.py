"""Binds an `Observer` to the gRPC service observer.Observer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.observer import observer_pb2
from palomar_server.grpc_service import Service

if TYPE_CHECKING:
    from palomar_server.observer import Observer


def observer_service(observer: Observer) -> Service:
    """What is served."""
    return Service(
        observer_pb2.DESCRIPTOR.services_by_name["Observer"],
        {
            "GetFlows": observer.get_flows,
            "GetAgentEvents": observer.get_agent_events,
            "GetDebugEvents": observer.get_debug_events,
            "GetNamespaces": observer.get_namespaces,
            "GetNodes": observer.get_nodes,
            "ServerStatus": observer.server_status,
        },
    )
