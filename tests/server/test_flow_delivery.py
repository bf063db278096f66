from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server.hooks import Hooks
from palomar_server.observer import Observer
from palomar_server.peer import OWN
from palomar_server.ring_loss import RingLoss
from palomar_server.testing import Core, flow_rows, parse_responses
from palomar_server.waker import Waker

if TYPE_CHECKING:
    from palomar_server.hooks import DeliveryBatch
    from palomar_server.table import Mask


class OddOnly:
    """Stops flows to ports that are even."""

    def on_flow_delivery(self, batch: DeliveryBatch) -> Mask:
        mask: Mask = batch.rows["destination_port"] % 2 == 1
        return mask


def observer_of(core: Core, hooks: Hooks) -> Observer:
    waker = Waker(asyncio.get_running_loop())
    return Observer(core.ring, core.encoder, core.surroundings, waker, hooks=hooks)


def ports(responses: list[bytes]) -> list[int]:
    return [one.flow.l4.TCP.destination_port for one in parse_responses(responses)]


async def test_what_a_hook_stops_is_not_sent_but_has_been_counted() -> None:
    core, hooks = Core(), Hooks()
    hooks.register(OddOnly(), "odd")
    core.ring.append(flow_rows(10, destination_port=np.arange(10)))
    observer = observer_of(core, hooks)
    request = observer_pb2.GetFlowsRequest(number=4)
    found = [one async for responses in observer.get_flows(request) for one in ports(responses)]
    assert found == [7, 9]


async def test_a_loss_comes_before_the_rows() -> None:
    core = Core()
    core.ring.append(flow_rows(2, destination_port=[1, 2]))
    observer = observer_of(core, Hooks())
    with observer.open_flows(observer_pb2.GetFlowsRequest(), OWN) as delivery:
        [portion] = [one async for one in delivery.portions()]
        lossy = type(portion)(
            portion.rows,
            portion.sequences,
            portion.messages,
            RingLoss(3, 1, 2),
            portion.position,
            portion.oldest,
            portion.complete,
        )
        first, *others = parse_responses(delivery.responses(lossy))
    assert first.lost_events.num_events_lost == 3
    assert first.lost_events.source == flow_pb2.HUBBLE_RING_BUFFER
    assert first.time.ToNanoseconds() == 2
    assert [one.flow.l4.TCP.destination_port for one in others] == [1, 2]


class Writer:
    """Changes what it is not to change."""

    def on_flow_delivery(self, batch: DeliveryBatch) -> None:
        batch.rows["destination_port"] = 7


async def test_a_hook_cannot_change_what_other_streams_get() -> None:
    core, hooks = Core(), Hooks()
    hooks.register(Writer(), "writer")
    core.ring.append(flow_rows(2, destination_port=[1, 2]))
    lists = observer_of(core, hooks).get_flows(observer_pb2.GetFlowsRequest())
    assert [one async for responses in lists for one in ports(responses)] == [1, 2]
    assert hooks.errors() == {"writer": 1}
