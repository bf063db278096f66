"""Palomar's client: reads network flows from palomard, a Hubble server or a relay.

    import palomar

    with palomar.Client() as client:
        for flow in client.observe(pod="web", verdict="dropped", follow=True):
            print(flow.Summary)

`AsyncClient` is the same for asyncio. Flows are `palomar_proto.flow.flow_pb2.Flow` messages;
`FlowView(flow)` has typed properties for what people ask of them. See docs/library.md.

The names below are loaded when first used, since gRPC takes longer to import than a short command
to run.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palomar.async_client import AsyncClient
    from palomar.auth import BasicAuth, BearerToken
    from palomar.client import Client
    from palomar.errors import (
        InvalidRequest,
        PalomarError,
        ServerError,
        ServerUnavailable,
        Unauthorized,
        Unsupported,
    )
    from palomar.filters import Filter
    from palomar.flow_place import Position
    from palomar.flow_streams import AsyncFlowStream, FlowStream
    from palomar.flow_view import FlowEnd, FlowView
    from palomar.gap import Gap
    from palomar.health import Health
    from palomar.protojson import to_dict, to_json
    from palomar.reconnection import Outage, Reconnect
    from palomar.recording_stream import AsyncRecordingStream, RecordingStream
    from palomar.requests import Batching
    from palomar.server_version import ServerVersion
    from palomar.streams import AsyncBatchStream, AsyncEventStream, BatchStream, EventStream
    from palomar.tls import Tls
    from palomar.version import __version__

_HOMES = {
    "AsyncBatchStream": "palomar.streams",
    "AsyncClient": "palomar.async_client",
    "AsyncEventStream": "palomar.streams",
    "AsyncFlowStream": "palomar.flow_streams",
    "AsyncRecordingStream": "palomar.recording_stream",
    "BasicAuth": "palomar.auth",
    "BatchStream": "palomar.streams",
    "Batching": "palomar.requests",
    "BearerToken": "palomar.auth",
    "Client": "palomar.client",
    "EventStream": "palomar.streams",
    "Filter": "palomar.filters",
    "FlowEnd": "palomar.flow_view",
    "FlowStream": "palomar.flow_streams",
    "FlowView": "palomar.flow_view",
    "Gap": "palomar.gap",
    "Health": "palomar.health",
    "InvalidRequest": "palomar.errors",
    "Outage": "palomar.reconnection",
    "PalomarError": "palomar.errors",
    "Position": "palomar.flow_place",
    "Reconnect": "palomar.reconnection",
    "RecordingStream": "palomar.recording_stream",
    "ServerError": "palomar.errors",
    "ServerUnavailable": "palomar.errors",
    "ServerVersion": "palomar.server_version",
    "Tls": "palomar.tls",
    "Unauthorized": "palomar.errors",
    "Unsupported": "palomar.errors",
    "__version__": "palomar.version",
    "to_dict": "palomar.protojson",
    "to_json": "palomar.protojson",
}

__all__ = [
    "AsyncBatchStream",
    "AsyncClient",
    "AsyncEventStream",
    "AsyncFlowStream",
    "AsyncRecordingStream",
    "BasicAuth",
    "BatchStream",
    "Batching",
    "BearerToken",
    "Client",
    "EventStream",
    "Filter",
    "FlowEnd",
    "FlowStream",
    "FlowView",
    "Gap",
    "Health",
    "InvalidRequest",
    "Outage",
    "PalomarError",
    "Position",
    "Reconnect",
    "RecordingStream",
    "ServerError",
    "ServerUnavailable",
    "ServerVersion",
    "Tls",
    "Unauthorized",
    "Unsupported",
    "__version__",
    "to_dict",
    "to_json",
]


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
