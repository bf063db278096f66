from __future__ import annotations

import asyncio

from palomar_proto.observer import observer_pb2
from palomar_server.observer import Observer
from palomar_server.observer_service import observer_service
from palomar_server.testing import Core
from palomar_server.waker import Waker


async def test_every_method_of_the_service_has_its_function() -> None:
    core = Core()
    waker = Waker(asyncio.get_running_loop())
    service = observer_service(Observer(core.ring, core.encoder, core.surroundings, waker))
    descriptor = observer_pb2.DESCRIPTOR.services_by_name["Observer"]
    assert service.name == "observer.Observer"
    assert set(service.methods) == {
        f"/observer.Observer/{name}" for name in descriptor.methods_by_name
    }
