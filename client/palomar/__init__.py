"""Palomar's client: reads network flows from palomard, a Hubble server or a relay.

    import palomar

    with palomar.Client() as client:
        for flow in client.observe(pod="web", verdict="dropped", follow=True):
            print(flow.Summary)

`AsyncClient` is the same for asyncio. Flows are `palomar_proto.flow.flow_pb2.Flow` messages. The
names below are loaded when first used, since gRPC takes longer to import than a short command to
run.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palomar.async_client import AsyncClient
    from palomar.client import Client
    from palomar.errors import (
        InvalidRequest,
        PalomarError,
        ServerError,
        ServerUnavailable,
        Unsupported,
    )
    from palomar.filters import Filter
    from palomar.flow_place import Position
    from palomar.flow_streams import AsyncFlowStream, FlowStream
    from palomar.health import Health
    from palomar.requests import Batching
    from palomar.streams import AsyncBatchStream, AsyncEventStream, BatchStream, EventStream
    from palomar.version import __version__

_HOMES = {
    "AsyncBatchStream": "palomar.streams",
    "AsyncClient": "palomar.async_client",
    "AsyncEventStream": "palomar.streams",
    "AsyncFlowStream": "palomar.flow_streams",
    "BatchStream": "palomar.streams",
    "Batching": "palomar.requests",
    "Client": "palomar.client",
    "EventStream": "palomar.streams",
    "Filter": "palomar.filters",
    "FlowStream": "palomar.flow_streams",
    "Health": "palomar.health",
    "InvalidRequest": "palomar.errors",
    "PalomarError": "palomar.errors",
    "Position": "palomar.flow_place",
    "ServerError": "palomar.errors",
    "ServerUnavailable": "palomar.errors",
    "Unsupported": "palomar.errors",
    "__version__": "palomar.version",
}

__all__ = [
    "AsyncBatchStream",
    "AsyncClient",
    "AsyncEventStream",
    "AsyncFlowStream",
    "BatchStream",
    "Batching",
    "Client",
    "EventStream",
    "Filter",
    "FlowStream",
    "Health",
    "InvalidRequest",
    "PalomarError",
    "Position",
    "ServerError",
    "ServerUnavailable",
    "Unsupported",
    "__version__",
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
