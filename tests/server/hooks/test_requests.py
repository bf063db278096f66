from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server.errors import HookFailed, InvalidRequest, Refused
from palomar_server.hooks import HookError, Hooks
from palomar_server.hooks.figures import HookFigures
from palomar_server.hooks.testing import FakeSeconds, FakeServer
from palomar_server.peer import OWN, Peer
from palomar_server.testing import flow_rows, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from palomar_server.filters.predicate import Predicate
    from palomar_server.hooks import Server
    from palomar_server.table import Mask
    from palomar_server.view import View


class Init:
    def __init__(self, act: Callable[[Server], None]) -> None:
        self._act = act

    def on_server_init(self, server: Server) -> None:
        self._act(server)


class Build:
    def __init__(self, act: Callable[[flow_pb2.FlowFilter], Sequence[Predicate] | None]) -> None:
        self._act = act

    def on_build_filter(self, flow_filter: flow_pb2.FlowFilter) -> Sequence[Predicate] | None:
        return self._act(flow_filter)


Answer = observer_pb2.GetFlowsRequest | None


class Get:
    def __init__(self, act: Callable[[observer_pb2.GetFlowsRequest, Peer], Answer]) -> None:
        self._act = act

    def on_get_flows(self, request: observer_pb2.GetFlowsRequest, peer: Peer) -> Answer:
        return self._act(request, peer)


@pytest.fixture
def hooks() -> Hooks:
    return Hooks(clock=lambda: 0.0)


def fail(*_: object) -> None:
    raise LookupError("not\ntoday")


# OnServerInit


def test_hooks_make_ready_in_order_with_the_same_server(hooks: Hooks) -> None:
    server = FakeServer()
    seen: list[tuple[str, Server]] = []
    for name in ("b", "a"):
        hooks.register(Init(lambda it, name=name: seen.append((name, it))), name)  # type: ignore[misc]
    hooks.server_init.run(server)
    assert seen == [("b", server), ("a", server)]


def test_an_error_at_the_start_ends_it_and_names_the_hook(hooks: Hooks) -> None:
    seen: list[Server] = []
    hooks.register(Init(fail), "failing")
    hooks.register(Init(seen.append), "after")
    with capture_logs() as logs, pytest.raises(HookError) as caught:
        hooks.server_init.run(FakeServer())
    assert str(caught.value) == "hook failing failed at the start: not today"
    assert seen == []
    assert hooks.errors() == {"failing": 1}
    assert logs[0]["exc_info"] is caught.value.__cause__


def test_slow_hooks_at_the_start_and_on_filters_are_reported_by_name() -> None:
    clock = FakeSeconds()

    class Slow:
        def on_server_init(self, server: Server) -> None:
            clock.advance(1.0)

        def on_build_filter(self, flow_filter: flow_pb2.FlowFilter) -> Sequence[Predicate]:
            clock.advance(2.0)
            return ()

    hooks = Hooks(budget_s=0.5, clock=clock)
    hooks.register(Slow(), "slow")
    with capture_logs() as logs:
        hooks.server_init.run(FakeServer())
        hooks.build_filter.run(flow_pb2.FlowFilter())
    assert [(entry["hook"], entry["took_s"]) for entry in logs] == [("slow", 1.0), ("slow", 2.0)]


# OnBuildFilter


def above(port: int) -> Predicate:
    def condition(view: View) -> Mask:
        return np.asarray(view.rows["source_port"] > port)

    return condition


def test_conditions_of_all_hooks_are_added_in_order(hooks: Hooks) -> None:
    asked: list[flow_pb2.FlowFilter] = []

    def nothing(flow_filter: flow_pb2.FlowFilter) -> Sequence[Predicate]:
        asked.append(flow_filter)
        return ()

    hooks.register(Build(nothing), "nothing")
    hooks.register(Build(lambda _: [above(1), above(2)]), "two")
    wanted = flow_pb2.FlowFilter(source_pod=["default/web"])
    conditions = hooks.build_filter.run(wanted)
    assert asked == [wanted]
    view = view_of(flow_rows(3, source_port=[1, 2, 3]))
    assert [condition(view).tolist() for condition in conditions] == [
        [False, True, True],
        [False, False, True],
    ]


def test_what_conditions_cost_is_counted_for_their_hook() -> None:
    clock = FakeSeconds()

    def slow(view: View) -> Mask:
        clock.advance(0.5)
        return above(1)(view)

    hooks = Hooks(clock=clock)
    hooks.register(Build(lambda _: [slow]), "slow")
    [condition] = hooks.build_filter.run(flow_pb2.FlowFilter())
    with capture_logs():
        condition(view_of(flow_rows(3, source_port=[1, 2, 3])))
    assert hooks.build_filter.figures() == {
        "slow": HookFigures(calls=2, rows=3, stopped=1, overruns=1, seconds=0.5)
    }


@pytest.mark.parametrize("error", [ValueError("no such tenant"), InvalidRequest("a", 1, "is odd")])
def test_a_hook_refuses_a_filter_with_its_name_and_reason(hooks: Hooks, error: Exception) -> None:
    def refuse(_: flow_pb2.FlowFilter) -> Sequence[Predicate]:
        raise error

    hooks.register(Build(refuse), "tenants")
    with capture_logs() as logs, pytest.raises(InvalidRequest) as caught:
        hooks.build_filter.run(flow_pb2.FlowFilter())
    assert str(caught.value) == f"filter: '' is refused by hook tenants: {error}"
    assert logs == []
    assert hooks.build_filter.figures()["tenants"].stopped == 1


def test_a_hook_that_answers_none_adds_no_conditions(hooks: Hooks) -> None:
    hooks.register(Build(lambda _: None), "silent")
    assert hooks.build_filter.run(flow_pb2.FlowFilter()) == []
    assert hooks.errors() == {}


@pytest.mark.parametrize("answer", [5, [5]])
def test_a_hook_that_fails_or_makes_no_conditions_refuses_the_filter(
    hooks: Hooks, answer: object
) -> None:
    hooks.register(Build(lambda _: answer), "odd")  # type: ignore[arg-type, return-value]
    with capture_logs() as logs, pytest.raises(InvalidRequest, match="by hook odd: "):
        hooks.build_filter.run(flow_pb2.FlowFilter())
    assert hooks.errors() == {"odd": 1}
    assert logs[0]["hook"] == "odd"


def test_a_long_reason_is_shortened(hooks: Hooks) -> None:
    def refuse(_: flow_pb2.FlowFilter) -> Sequence[Predicate]:
        raise ValueError("x" * 10_000)

    hooks.register(Build(refuse), "long")
    with pytest.raises(InvalidRequest) as caught:
        hooks.build_filter.run(flow_pb2.FlowFilter(source_pod=["y" * 10_000]))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "condition", [fail, lambda _: np.ones(1, np.bool_), lambda _: np.zeros(2), lambda _: None]
)
def test_a_condition_that_fails_ends_its_stream_and_is_counted(
    hooks: Hooks, condition: Predicate
) -> None:
    hooks.register(Build(lambda _: [condition]), "failing")
    [counted] = hooks.build_filter.run(flow_pb2.FlowFilter())
    with capture_logs(), pytest.raises(HookFailed, match=r"^hook failing failed: "):
        counted(view_of(flow_rows(2)))
    assert hooks.errors() == {"failing": 1}


# OnGetFlows


def request(number: int = 0) -> observer_pb2.GetFlowsRequest:
    return observer_pb2.GetFlowsRequest(number=number)


def test_hooks_change_a_request_one_after_the_other(hooks: Hooks) -> None:
    peers: list[Peer] = []

    def add_one(asked: observer_pb2.GetFlowsRequest, peer: Peer) -> Answer:
        peers.append(peer)
        asked.number += 1
        return asked

    hooks.register(Get(add_one), "one")
    hooks.register(Get(add_one), "two")
    given = request(5)
    assert hooks.get_flows.run(given, OWN).number == 7
    assert given.number == 5
    assert peers == [OWN, OWN]


def test_a_hook_that_returns_nothing_changed_nothing(hooks: Hooks) -> None:
    def forgetful(asked: observer_pb2.GetFlowsRequest, _: Peer) -> Answer:
        asked.number = 9
        return None

    hooks.register(Get(forgetful), "forgetful")
    assert hooks.get_flows.run(request(5), OWN).number == 5


def test_a_hook_refuses_a_request_and_no_later_one_is_asked(hooks: Hooks) -> None:
    def refuse(*_: object) -> Answer:
        raise Refused("come back with a name")

    asked: list[object] = []
    hooks.register(Get(refuse), "door")
    hooks.register(Get(lambda it, _: asked.append(it)), "after")
    with pytest.raises(Refused, match="come back with a name"):
        hooks.get_flows.run(request(), OWN)
    assert asked == []
    assert hooks.get_flows.figures()["door"] == HookFigures(calls=1, stopped=1)
    assert hooks.errors() == {}


@pytest.mark.parametrize("act", [fail, lambda *_: "request"])
def test_a_hook_that_fails_on_a_request_is_passed_over(
    hooks: Hooks, act: Callable[[observer_pb2.GetFlowsRequest, Peer], Answer]
) -> None:
    def add_one(asked: observer_pb2.GetFlowsRequest, _: Peer) -> Answer:
        asked.number += 1
        return asked

    hooks.register(Get(add_one), "before")
    hooks.register(Get(act), "failing")
    hooks.register(Get(add_one), "after")
    with capture_logs() as logs:
        assert hooks.get_flows.run(request(5), OWN).number == 7
    assert hooks.errors() == {"failing": 1}
    assert [entry["hook"] for entry in logs] == ["failing"]


def test_a_slow_hook_on_requests_is_counted_by_name() -> None:
    clock = FakeSeconds()

    def slow(*_: object) -> Answer:
        clock.advance(1.0)
        return None

    hooks = Hooks(budget_s=0.5, clock=clock)
    hooks.register(Get(slow), "slow")
    with capture_logs() as logs:
        hooks.get_flows.run(request(), OWN)
    assert hooks.get_flows.overruns == {"slow": 1}
    assert (logs[0]["hook"], logs[0]["took_s"]) == ("slow", 1.0)
