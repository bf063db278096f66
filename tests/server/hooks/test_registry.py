from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from palomar_proto.observer import observer_pb2
from palomar_server.hooks import DeliveryBatch, FlowBatch, FlowStream, Hooks
from palomar_server.hooks.testing import FakeSeconds
from palomar_server.peer import OWN
from palomar_server.table import Kind, Mask
from palomar_server.testing import (
    SYN,
    Core,
    batch_of,
    flow_rows,
    lost_message,
    lost_row,
    packet,
    trace_payload,
    transport,
)

if TYPE_CHECKING:
    from palomar_bpf.batch import PayloadBatch

ENCODER = Core().encoder
PORT = "source_port"
BATCH = FlowBatch(flow_rows(2, source_port=[1, 2]), ENCODER)


class Failing:
    def on_decoded_flow(self, batch: FlowBatch) -> Mask | None:
        raise LookupError("not today")

    def on_decoded_event(self, batch: FlowBatch) -> Mask | None:
        raise LookupError("not today either")


class Nothing:
    def on_decoded_event(self, batch: FlowBatch) -> Mask | None:
        return np.zeros(len(batch), np.bool_)

    def on_flow_delivery(self, batch: DeliveryBatch) -> Mask | None:
        return np.zeros(len(batch), np.bool_)


PORTS = (1, 2, 3)


def monitor_event(hooks: Hooks) -> list[int]:
    payloads = [bytes([port]) for port in PORTS]
    left = hooks.monitor_event.run(batch_of(payloads))
    return [left.payload(index)[0] for index in range(len(left))]


def decoded_flow(hooks: Hooks) -> list[int]:
    rows = flow_rows(len(PORTS), source_port=PORTS)
    return [int(port) for port in hooks.decoded_flow.run(FlowBatch(rows, ENCODER)).rows[PORT]]


def decoded_event(hooks: Hooks) -> list[int]:
    rows = flow_rows(len(PORTS), source_port=PORTS)
    return [int(port) for port in hooks.decoded_event.run(FlowBatch(rows, ENCODER)).rows[PORT]]


def flow_delivery(hooks: Hooks) -> list[int]:
    rows = flow_rows(len(PORTS), source_port=PORTS)
    stream = FlowStream(observer_pb2.GetFlowsRequest(), OWN)
    left = hooks.flow_delivery.run(DeliveryBatch(rows, ENCODER, {}, PORTS, stream))
    assert list(left.sequences) == left.rows[PORT].tolist()
    return list(left.sequences)


Run = Callable[[Hooks], list[int]]
row_chains = pytest.mark.parametrize(
    "run", [monitor_event, decoded_flow, decoded_event, flow_delivery], ids=lambda run: run.__name__
)


class AtAnyPoint:
    """A hook at all points that see rows: notes those left, and acts as it is told."""

    def __init__(
        self, name: str, seen: list[tuple[str, int]], act: Callable[[int], Mask | None]
    ) -> None:
        self._name = name
        self._seen = seen
        self._act = act

    def on_monitor_event(self, batch: PayloadBatch | FlowBatch) -> Mask | None:
        self._seen.append((self._name, len(batch)))
        return self._act(len(batch))

    on_decoded_flow = on_decoded_event = on_flow_delivery = on_monitor_event


def all_but_first(count: int) -> Mask:
    return np.arange(count) > 0


def fail(_: int) -> Mask | None:
    raise LookupError("not today")


@row_chains
def test_in_every_chain_hooks_run_in_the_order_of_registration(run: Run) -> None:
    hooks, seen = Hooks(), list[tuple[str, int]]()
    for name in ("b", "a", "c"):
        hooks.register(AtAnyPoint(name, seen, lambda _: None), name)
    assert run(hooks) == [1, 2, 3]
    assert seen == [("b", 3), ("a", 3), ("c", 3)]


@row_chains
def test_in_every_chain_a_row_that_is_stopped_goes_no_further(run: Run) -> None:
    hooks, seen = Hooks(), list[tuple[str, int]]()
    for name in ("first", "second"):
        hooks.register(AtAnyPoint(name, seen, all_but_first), name)
    assert run(hooks) == [3]
    assert seen == [("first", 3), ("second", 2)]


@row_chains
def test_in_every_chain_an_exception_is_logged_and_counted_and_all_go_on(run: Run) -> None:
    hooks, seen = Hooks(), list[tuple[str, int]]()
    hooks.register(AtAnyPoint("failing", seen, fail), "failing")
    hooks.register(AtAnyPoint("after", seen, all_but_first), "after")
    with capture_logs() as logs:
        assert run(hooks) == [2, 3]
    assert seen == [("failing", 3), ("after", 3)]
    assert hooks.errors() == {"failing": 1}
    assert logs[0]["exc_info"].__traceback__ is not None


@row_chains
def test_in_every_chain_a_hook_over_its_budget_is_reported_by_name(run: Run) -> None:
    clock, seen = FakeSeconds(), list[tuple[str, int]]()
    hooks = Hooks(budget_s=0.5, clock=clock)
    hooks.register(AtAnyPoint("slow", seen, lambda _: clock.advance(0.75)), "slow")
    hooks.register(AtAnyPoint("quick", seen, lambda _: clock.advance(0.25)), "quick")
    with capture_logs() as logs:
        assert run(hooks) == [1, 2, 3]
    assert [(entry["hook"], entry["took_s"]) for entry in logs] == [("slow", 0.75)]
    overruns = {name: one.overruns for (_, name), one in hooks.figures().items() if one.calls}
    assert overruns == {"slow": 1, "quick": 0}


def test_an_object_is_registered_for_every_hook_it_implements() -> None:
    hooks = Hooks()
    hooks.register(Failing(), "failing")
    assert list(hooks.figures()) == [
        ("on_decoded_flow", "failing"),
        ("on_decoded_event", "failing"),
    ]
    assert (len(hooks.decoded_flow), len(hooks.decoded_event), len(hooks.get_flows)) == (1, 1, 0)


def test_an_object_without_hooks_is_refused() -> None:
    with pytest.raises(TypeError, match="hook nothing has none of on_server_init, on_monitor_"):
        Hooks().register(object(), "nothing")


def test_chains_of_two_hooks_objects_are_their_own() -> None:
    Hooks().register(Failing(), "failing")
    assert len(Hooks().decoded_flow) == 0


def test_errors_of_all_chains_are_summed_by_hook() -> None:
    hooks = Hooks()
    hooks.register(Failing(), "failing")
    with capture_logs():
        hooks.decoded_flow.run(BATCH)
        hooks.decoded_event.run(BATCH)
    assert hooks.errors() == {"failing": 2}


def test_the_budget_is_that_of_every_chain() -> None:
    clock = FakeSeconds()

    class Slow:
        def _take_long(self, *_: object) -> None:
            clock.advance(2.0)

        on_decoded_flow = on_decoded_event = on_get_flows = _take_long

    hooks = Hooks(budget_s=1.0, clock=clock)
    hooks.register(Slow(), "slow")
    with capture_logs():
        hooks.decoded_flow.run(BATCH)
        hooks.decoded_event.run(BATCH)
        hooks.get_flows.run(observer_pb2.GetFlowsRequest(), OWN)
    assert [figures.overruns for figures in hooks.figures().values()] == [1, 1, 1]


def test_no_hook_can_stop_a_loss_notice() -> None:
    hooks = Hooks()
    hooks.register(Nothing(), "nothing")
    rows = np.concatenate((flow_rows(1), lost_row(), flow_rows(1)))
    assert hooks.decoded_event.run(FlowBatch(rows, Core().encoder, [lost_message()])).rows[
        "kind"
    ].tolist() == [Kind.LOST]
    stream = FlowStream(observer_pb2.GetFlowsRequest(), OWN)
    batch = DeliveryBatch(rows, Core().encoder, {2: lost_message()}, [1, 2, 3], stream)
    left = hooks.flow_delivery.run(batch)
    assert (left.sequences, left.rows["kind"].tolist()) == ([2], [Kind.LOST])


def test_monitor_hooks_reduce_payloads() -> None:
    class EverySecond:
        def on_monitor_event(self, batch: object) -> Mask:
            return np.array([True, False, True])

    core = Core()
    core.hooks.register(EverySecond(), "every second")
    core.consume(
        *(trace_payload(packet(body=transport(6, port, 80, tcp_flags=SYN))) for port in (1, 2, 3))
    )
    assert core.rows()["source_port"].tolist() == [1, 3]
