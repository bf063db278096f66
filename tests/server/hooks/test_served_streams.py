"""Hooks on requests, filters and deliveries, seen from a stream that the observer serves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server.errors import InvalidRequest, Refused
from palomar_server.observer import Observer
from palomar_server.peer import OWN, Peer
from palomar_server.testing import Core, flow_rows, lost_message, lost_row, parse_responses
from palomar_server.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_server.filters.predicate import Predicate
    from palomar_server.hooks import DeliveryBatch
    from palomar_server.table import Mask
    from palomar_server.view import View


@pytest.fixture
def core() -> Core:
    core = Core()
    core.ring.append(flow_rows(4, source_port=[1, 2, 3, 4]))
    return core


async def ports(core: Core, **request: object) -> list[int]:
    observer = Observer(
        core.ring,
        core.encoder,
        core.surroundings,
        Waker(asyncio.get_running_loop()),
        hooks=core.hooks,
    )
    asked = observer_pb2.GetFlowsRequest(**{"number": 100, **request})  # type: ignore[arg-type]
    responses = [one async for part in observer.get_flows(asked) for one in part]
    return [
        one.flow.l4.TCP.source_port if one.HasField("flow") else 0
        for one in parse_responses(responses)
    ]


async def test_a_request_is_served_as_hooks_changed_it(core: Core) -> None:
    class Two:
        def on_get_flows(
            self, request: observer_pb2.GetFlowsRequest, peer: Peer
        ) -> observer_pb2.GetFlowsRequest:
            assert peer == OWN
            request.number = 2
            return request

    core.hooks.register(Two(), "two")
    assert await ports(core) == [3, 4]


async def test_a_request_that_a_hook_refuses_is_not_served(core: Core) -> None:
    class Door:
        def on_get_flows(self, request: object, peer: object) -> None:
            raise Refused("not you")

    core.hooks.register(Door(), "door")
    with pytest.raises(Refused, match="not you"):
        await ports(core)


async def test_conditions_of_hooks_narrow_the_filters_that_are_there(core: Core) -> None:
    class Even:
        def on_build_filter(self, flow_filter: flow_pb2.FlowFilter) -> Sequence[Predicate]:
            if flow_filter.uuid:
                raise ValueError("uuids are secret")
            return [self._mask]

        def _mask(self, view: View) -> Mask:
            return np.asarray(view.column("source_port") % 2 == 0)

    core.hooks.register(Even(), "even")
    assert await ports(core) == [1, 2, 3, 4]
    wanted = flow_pb2.FlowFilter(source_port=["1", "2", "4"])
    assert await ports(core, whitelist=[wanted]) == [2, 4]
    assert await ports(core, blacklist=[wanted]) == [1, 3]
    with pytest.raises(InvalidRequest, match="hook even: uuids are secret"):
        await ports(core, whitelist=[flow_pb2.FlowFilter(uuid=["x"])])


async def test_rows_that_a_hook_stops_are_not_sent_but_have_counted(core: Core) -> None:
    class Even:
        def on_flow_delivery(self, batch: DeliveryBatch) -> Mask:
            return np.asarray(batch.rows["source_port"] % 2 == 0)

    core.hooks.register(Even(), "even")
    assert await ports(core, number=3) == [2, 4]
    assert await ports(core, number=1, first=True) == []


async def test_no_hook_keeps_a_loss_from_a_stream(core: Core) -> None:
    class Nothing:
        def on_flow_delivery(self, batch: DeliveryBatch) -> Mask:
            return np.zeros(len(batch), np.bool_)

    core.ring.append(lost_row(), [lost_message()])
    core.hooks.register(Nothing(), "nothing")
    assert await ports(core) == [0]


async def test_a_hook_that_fails_lets_everything_be_sent(core: Core) -> None:
    class Failing:
        def on_get_flows(self, request: object, peer: object) -> None:
            raise LookupError

        def on_flow_delivery(self, batch: DeliveryBatch) -> Mask:
            raise LookupError

    core.hooks.register(Failing(), "failing")
    with capture_logs():
        assert await ports(core) == [1, 2, 3, 4]
    assert core.hooks.errors() == {"failing": 2}


async def test_hooks_on_delivery_know_whose_stream_it_is(core: Core) -> None:
    seen: list[tuple[int, Peer, list[str]]] = []

    class Watching:
        def on_flow_delivery(self, batch: DeliveryBatch) -> None:
            uuids = [batch.flow(index).uuid for index in range(len(batch))]
            seen.append((batch.stream.request.number, batch.stream.peer, uuids))

    core.hooks.register(Watching(), "watching")
    await ports(core, number=2)
    assert seen == [(2, OWN, [core.encoder.uuid(2), core.encoder.uuid(3)])]
