from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from palomar_server.hooks import Chain, FlowBatch, HookError, Hooks, Verdict, is_flow, per_flow
from palomar_server.table import take
from palomar_server.testing import SYN, Core, flow_rows, lost_row, packet, trace_payload, transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_proto.flow import flow_pb2
    from palomar_server.table import Mask


class Recording:
    """Notes what it sees, and lets the rows of some source ports go on."""

    def __init__(
        self, name: str, seen: list[tuple[str, list[int]]], stops: tuple[int, ...] = ()
    ) -> None:
        self._name = name
        self._seen = seen
        self._stops = stops

    def on_decoded_flow(self, batch: FlowBatch) -> Mask | None:
        ports = batch.rows["source_port"]
        self._seen.append((self._name, ports.tolist()))
        return ~np.isin(ports, self._stops) if self._stops else None


class Failing:
    def on_decoded_flow(self, batch: FlowBatch) -> Mask | None:
        raise LookupError("not today")


class Answering:
    def __init__(self, answer: object) -> None:
        self._answer = answer

    def on_decoded_flow(self, batch: FlowBatch) -> Mask | None:
        return self._answer  # type: ignore[return-value]  # what an untyped hook may do


@pytest.fixture
def seen() -> list[tuple[str, list[int]]]:
    return []


def batch_of_ports(*ports: int) -> FlowBatch:
    return FlowBatch(flow_rows(len(ports), source_port=ports), Core().encoder)


def run(hooks: Hooks, *ports: int) -> list[int]:
    rows = hooks.decoded_flow.run(batch_of_ports(*ports)).rows
    return [int(port) for port in rows["source_port"]]


def test_hooks_run_in_the_order_of_registration(seen: list[tuple[str, list[int]]]) -> None:
    hooks = Hooks()
    for name in ("b", "a", "c"):
        hooks.register(Recording(name, seen), name)
    assert run(hooks, 1) == [1]
    assert [name for name, _ in seen] == ["b", "a", "c"]


def test_a_stopped_row_reaches_no_later_hook(seen: list[tuple[str, list[int]]]) -> None:
    hooks = Hooks()
    hooks.register(Recording("first", seen, stops=(2,)), "first")
    hooks.register(Recording("second", seen, stops=(3,)), "second")
    hooks.register(Recording("third", seen), "third")
    assert run(hooks, 1, 2, 3, 4) == [1, 4]
    assert seen == [("first", [1, 2, 3, 4]), ("second", [1, 3, 4]), ("third", [1, 4])]


def test_an_exception_is_logged_and_counted_and_the_batch_goes_on(
    seen: list[tuple[str, list[int]]],
) -> None:
    hooks = Hooks()
    hooks.register(Failing(), "failing")
    hooks.register(Recording("after", seen), "after")
    with capture_logs() as logs:
        assert run(hooks, 1, 2) == [1, 2]
    assert seen == [("after", [1, 2])]
    assert hooks.decoded_flow.errors == {"failing": 1}
    [entry] = logs
    assert (entry["hook"], entry["log_level"], entry["exc_info"]) == ("failing", "error", True)


@pytest.mark.parametrize(
    "answer",
    [
        [True, False],
        np.array([1, 0]),
        np.array([True, False, True]),
        np.zeros((2, 2), np.bool_),
        "rows",
    ],
)
def test_an_answer_that_is_no_mask_counts_as_an_exception(answer: object) -> None:
    hooks = Hooks()
    hooks.register(Answering(answer), "odd")
    with capture_logs():
        assert run(hooks, 1, 2) == [1, 2]
    assert hooks.decoded_flow.errors == {"odd": 1}


def chain(clock: Callable[[], float]) -> Chain[Recording, FlowBatch]:
    return Chain(
        lambda hook, batch: hook.on_decoded_flow(batch),
        lambda batch, mask: FlowBatch(take(batch.rows, mask), batch.encoder),
        budget_s=0.05,
        clock=clock,
    )


def test_a_hook_over_its_budget_is_counted_and_named(seen: list[tuple[str, list[int]]]) -> None:
    ticks = iter([0.0, 0.05, 1.0, 1.0501])
    hooks = chain(lambda: next(ticks))
    hooks.register(Recording("in time", seen), "in time")
    hooks.register(Recording("late", seen), "late")
    with capture_logs() as logs:
        hooks.run(batch_of_ports(1))
    assert hooks.overruns == {"late": 1}
    assert [(entry["hook"], entry["took_s"]) for entry in logs] == [("late", 0.0501)]
    assert [name for name, _ in seen] == ["in time", "late"]


def test_a_hook_that_fails_late_is_counted_for_both() -> None:
    ticks = iter([0.0, 1.0])
    hooks = chain(lambda: next(ticks))
    hooks.register(Failing(), "failing")  # type: ignore[arg-type]  # has the method that is called
    with capture_logs():
        hooks.run(batch_of_ports(1))
    assert (hooks.errors, hooks.overruns) == ({"failing": 1}, {"failing": 1})


def test_an_object_is_registered_for_every_hook_it_implements() -> None:
    class Everything:
        def on_monitor_event(self, batch: object) -> None: ...
        def on_decoded_flow(self, batch: object) -> None: ...
        def on_decoded_event(self, batch: object) -> None: ...

    hooks = Hooks()
    hooks.register(Everything(), "everything")
    assert [len(one) for one in (hooks.monitor_event, hooks.decoded_flow, hooks.decoded_event)] == [
        1,
        1,
        1,
    ]


def test_an_object_without_hooks_is_refused() -> None:
    with pytest.raises(TypeError, match="hook nothing has none of on_monitor_event"):
        Hooks().register(object(), "nothing")


def test_chains_of_two_hooks_objects_are_their_own() -> None:
    Hooks().register(Failing(), "failing")
    assert len(Hooks().decoded_flow) == 0


def test_a_function_on_flows_says_which_go_on() -> None:
    flows: list[flow_pb2.Flow] = []

    def odd_ports(flow: flow_pb2.Flow) -> Verdict:
        flows.append(flow)
        return Verdict.CONTINUE if flow.l4.TCP.source_port % 2 else Verdict.STOP

    hooks = Hooks()
    hooks.register(per_flow(odd_ports), "odd ports")
    assert run(hooks, 1, 2, 3) == [1, 3]
    assert [flow.l4.TCP.source_port for flow in flows] == [1, 2, 3]
    assert flows[0].time.seconds > 0


def test_an_exception_in_a_function_on_flows_lets_the_whole_batch_go_on() -> None:
    def picky(flow: flow_pb2.Flow) -> Verdict:
        if flow.l4.TCP.source_port == 2:
            raise LookupError("no port 2")
        return Verdict.STOP

    hooks = Hooks()
    hooks.register(per_flow(picky), "picky")
    with capture_logs():
        assert run(hooks, 1, 2, 3) == [1, 2, 3]


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


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("palomar_hooks_of_a_user")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_hooks_load_as_objects_and_as_classes(module: ModuleType) -> None:
    module.__dict__.update(instance=Failing(), Class=Failing)
    hooks = Hooks()
    hooks.load([f"{module.__name__}:instance", f"{module.__name__}:Class"])
    assert len(hooks.decoded_flow) == 2


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("palomar_hooks_of_a_user:missing", "has no attribute 'missing'"),
        ("palomar_hooks_of_a_user", "has no attribute ''"),
        ("palomar_hooks_of_nobody:hook", "No module named 'palomar_hooks_of_nobody'"),
        ("palomar_hooks_of_a_user:number", "has none of on_monitor_event"),
        ("palomar_hooks_of_a_user:Broken", "cannot start"),
        (":hook", "Empty module name"),
    ],
)
def test_a_hook_that_cannot_be_loaded_is_named_with_the_cause(
    module: ModuleType, name: str, cause: str
) -> None:
    class Broken(Failing):
        def __init__(self) -> None:
            raise RuntimeError("cannot start")

    module.__dict__.update(number=5, Broken=Broken)
    with pytest.raises(HookError, match=cause) as caught:
        Hooks().load([name])
    assert repr(name) in str(caught.value)
    assert "module:object" in str(caught.value)


def test_loss_notices_are_no_flows() -> None:
    assert is_flow(np.concatenate((flow_rows(1), lost_row()))).tolist() == [True, False]
