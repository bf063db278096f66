from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import flow_scope_pb2
from palomar_server.filters.compiled import CompiledFilter
from palomar_server.flow_scope import Scope, as_flows_request
from palomar_server.ring_scan import STEP_ROWS_FIRST, STEP_S, RingScan
from palomar_server.testing import Core, FakeClock, flow_rows, lost_message, lost_row

if TYPE_CHECKING:
    from palomar_server.ring_scan import Found

CAPACITY = 16_383


def scan_of(core: Core, clock: FakeClock | None = None) -> RingScan:
    request = as_flows_request(flow_scope_pb2.FlowScope())
    scope = Scope(request, CompiledFilter([], [], core.surroundings, core.encoder))
    if clock is None:
        return RingScan(core.ring, scope, core.encoder)
    return RingScan(core.ring, scope, core.encoder, lambda: clock() / 1e9)


def sequences(found: list[Found]) -> list[int]:
    return [number for one in found for number in one.sequences.tolist()]


async def all_steps(scan: RingScan) -> list[Found]:
    return [found async for found in scan.steps()]


def test_every_flow_is_found_once_and_in_order() -> None:
    core = Core(capacity=CAPACITY)
    for _ in range(3):
        core.ring.append(flow_rows(10_000))
    found = asyncio.run(all_steps(scan_of(core)))
    assert sequences(found) == list(range(30_000 - CAPACITY, 30_000))
    assert sum(len(one.rows) for one in found) == CAPACITY


async def test_steps_are_as_long_as_their_time_allows() -> None:
    core = Core(capacity=CAPACITY)
    core.ring.append(flow_rows(CAPACITY))
    clock = FakeClock()
    lengths = []
    async for found in scan_of(core, clock).steps():
        lengths.append(len(found.rows))
        # Slow at first, and fast from the third on.
        clock.advance(4 * STEP_S if len(lengths) < 3 else STEP_S / 100)
    assert lengths[:3] == [STEP_ROWS_FIRST, STEP_ROWS_FIRST // 4, STEP_ROWS_FIRST // 16]
    assert lengths[3:6] == [128, 256, 512]
    assert sum(lengths) == CAPACITY


async def test_others_have_their_turn_between_steps() -> None:
    core = Core(capacity=CAPACITY)
    core.ring.append(flow_rows(CAPACITY))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        busy = tasks.create_task(others())
        steps = len(await all_steps(scan_of(core)))
        busy.cancel()
    assert turns >= steps > 1


async def test_what_is_written_meanwhile_is_left_out_and_what_it_overwrites_counted() -> None:
    core = Core(capacity=CAPACITY)
    core.ring.append(flow_rows(CAPACITY))
    scan = scan_of(core)
    found: list[Found] = []
    async for one in scan.steps():
        if not found:
            core.ring.append(flow_rows(STEP_ROWS_FIRST + 100))
        found.append(one)
    numbers = sequences(found)
    assert numbers == [*range(STEP_ROWS_FIRST), *range(STEP_ROWS_FIRST + 100, CAPACITY)]
    coverage = scan.coverage()
    assert (coverage.overwritten, coverage.looked_at) == (100, CAPACITY - 100)
    assert not coverage.whole


async def test_losses_are_summed_by_source() -> None:
    core = Core(capacity=CAPACITY)
    for events in (2, 3):
        core.ring.append(lost_row(), [lost_message(events)])
    scan = scan_of(core)
    await all_steps(scan)
    assert [(one.source, one.events) for one in scan.coverage().losses] == [
        (flow_pb2.PERF_EVENT_RING_BUFFER, 5)
    ]


def test_message_that_is_gone_is_counted_as_not_read() -> None:
    core = Core()
    core.ring.append(flow_rows(message=1), [flow_pb2.Flow(uuid="u").SerializeToString()])
    scan = scan_of(core)
    assert scan.record(0) == flow_pb2.Flow(uuid="u")
    assert scan.record(1) is None
    assert scan.coverage().unread == 1
