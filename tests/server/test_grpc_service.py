from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from palomar_proto.observer import observer_pb2
from palomar_proto.recorder import recorder_pb2
from palomar_server.grpc_service import Service, Shape

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from palomar_server.peer import Peer

OBSERVER = observer_pb2.DESCRIPTOR.services_by_name["Observer"]
RECORDER = recorder_pb2.DESCRIPTOR.services_by_name["Recorder"]


async def stream(request: Any, peer: Peer) -> AsyncGenerator[list[bytes], None]:
    yield []


def test_shape_and_request_are_those_of_the_descriptor() -> None:
    service = Service(OBSERVER, {"GetFlows": stream, "ServerStatus": stream})
    flows = service.methods["/observer.Observer/GetFlows"]
    assert (flows.shape, flows.request_type) == (Shape.STREAMING, observer_pb2.GetFlowsRequest)
    assert service.methods["/observer.Observer/ServerStatus"].shape is Shape.UNARY
    [record] = Service(RECORDER, {"Record": stream}).methods.values()
    assert record.shape is Shape.CONVERSATION


def test_methods_without_function_are_known_by_name_only() -> None:
    service = Service(OBSERVER, {})
    assert not service.methods
    assert "GetNodes" in service.method_names


def test_a_method_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"observer.Observer has no GetFlow, Other"):
        Service(OBSERVER, {"Other": stream, "GetFlow": stream})
