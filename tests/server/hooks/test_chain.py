from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from structlog.testing import capture_logs

from palomar_server.hooks import FlowBatch, HookFigures, RowChain, RowErrors
from palomar_server.hooks.chain import REPORT_INTERVAL_S
from palomar_server.hooks.testing import FakeSeconds
from palomar_server.testing import Core, flow_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_server.table import Mask

ENCODER = Core().encoder


class Recording:
    """Notes what it sees, and stops the rows of some source ports."""

    def __init__(
        self, name: str, seen: list[tuple[str, list[int]]], stops: tuple[int, ...] = ()
    ) -> None:
        self._name = name
        self._seen = seen
        self._stops = stops

    def __call__(self, batch: FlowBatch) -> Mask | None:
        ports = batch.rows["source_port"]
        self._seen.append((self._name, ports.tolist()))
        return ~np.isin(ports, self._stops) if self._stops else None


def failing(batch: FlowBatch) -> Mask | None:
    raise LookupError("not today")


def chain(
    clock: Callable[[], float] = lambda: 0.0, **options: Callable[[FlowBatch], Mask]
) -> RowChain[Callable[[FlowBatch], Mask | None], FlowBatch]:
    return RowChain(
        lambda hook, batch: hook(batch),
        lambda batch, mask: batch.take(mask),
        budget_s=0.05,
        clock=clock,
        **options,
    )


def run(hooks: RowChain[Callable[[FlowBatch], Mask | None], FlowBatch], *ports: int) -> list[int]:
    left: list[int] = (
        hooks.run(FlowBatch(flow_rows(len(ports), source_port=ports), ENCODER))
        .rows["source_port"]
        .tolist()
    )
    return left


@pytest.fixture
def seen() -> list[tuple[str, list[int]]]:
    return []


def test_hooks_run_in_the_order_of_registration(seen: list[tuple[str, list[int]]]) -> None:
    hooks = chain()
    for name in ("b", "a", "c"):
        hooks.register(Recording(name, seen), name)
    assert run(hooks, 1) == [1]
    assert [name for name, _ in seen] == ["b", "a", "c"]
    assert list(hooks.figures()) == ["b", "a", "c"]
    assert len(hooks) == 3


def test_a_stopped_row_reaches_no_later_hook(seen: list[tuple[str, list[int]]]) -> None:
    hooks = chain()
    hooks.register(Recording("first", seen, stops=(2,)), "first")
    hooks.register(Recording("second", seen, stops=(3,)), "second")
    hooks.register(Recording("third", seen), "third")
    assert run(hooks, 1, 2, 3, 4) == [1, 4]
    assert seen == [("first", [1, 2, 3, 4]), ("second", [1, 3, 4]), ("third", [1, 4])]


def test_a_batch_of_which_nothing_is_left_ends_the_chain(
    seen: list[tuple[str, list[int]]],
) -> None:
    hooks = chain()
    hooks.register(Recording("first", seen, stops=(1,)), "first")
    hooks.register(Recording("second", seen), "second")
    assert run(hooks, 1) == []
    assert [name for name, _ in seen] == ["first"]


def test_an_exception_is_logged_and_counted_and_the_batch_goes_on(
    seen: list[tuple[str, list[int]]],
) -> None:
    hooks = chain()
    hooks.register(failing, "failing")
    hooks.register(Recording("after", seen), "after")
    with capture_logs() as logs:
        assert run(hooks, 1, 2) == [1, 2]
    assert seen == [("after", [1, 2])]
    assert hooks.errors == {"failing": 1}
    [entry] = logs
    assert (entry["hook"], entry["log_level"], entry["failures"]) == ("failing", "error", 1)
    error = entry["exc_info"]
    assert isinstance(error, LookupError)
    assert error.__traceback__ is not None


def test_errors_for_some_rows_leave_the_verdicts_on_the_others() -> None:
    def picky(batch: FlowBatch) -> Mask | None:
        raise RowErrors(np.array([True, False, True]), 2) from LookupError("no port 1")

    hooks = chain()
    hooks.register(picky, "picky")
    with capture_logs() as logs:
        assert run(hooks, 1, 2, 3) == [1, 3]
    assert hooks.errors == {"picky": 2}
    assert isinstance(logs[0]["exc_info"].__cause__, LookupError)


@pytest.mark.parametrize(
    "answer",
    [
        [True, False],
        np.array([1, 0]),
        np.array([True]),
        np.array([True, False, True]),
        np.zeros((2, 2), np.bool_),
        "rows",
    ],
)
def test_an_answer_that_is_no_mask_counts_as_an_exception(answer: object) -> None:
    hooks = chain()
    hooks.register(lambda _: answer, "odd")  # type: ignore[arg-type, return-value]  # untyped hooks
    with capture_logs():
        assert run(hooks, 1, 2) == [1, 2]
    assert hooks.errors == {"odd": 1}


def test_rows_that_always_go_on_cannot_be_stopped() -> None:
    hooks = chain(always=lambda batch: np.asarray(batch.rows["source_port"] == 2))
    hooks.register(lambda batch: np.zeros(len(batch), np.bool_), "all")
    assert run(hooks, 1, 2, 3) == [2]


def test_a_hook_over_its_budget_is_counted_and_named(seen: list[tuple[str, list[int]]]) -> None:
    clock = FakeSeconds()

    def taking(name: str, seconds: float) -> Callable[[FlowBatch], Mask | None]:
        def hook(batch: FlowBatch) -> Mask | None:
            clock.advance(seconds)
            return Recording(name, seen)(batch)

        return hook

    hooks = chain(clock)
    hooks.register(taking("in time", 0.05), "in time")
    hooks.register(taking("late", 0.0625), "late")
    with capture_logs() as logs:
        run(hooks, 1)
    assert hooks.overruns == {"late": 1}
    assert [(entry["hook"], entry["took_s"]) for entry in logs] == [("late", 0.0625)]
    assert [name for name, _ in seen] == ["in time", "late"]


def test_a_hook_that_fails_late_is_counted_for_both() -> None:
    clock = FakeSeconds()

    def hook(batch: FlowBatch) -> Mask | None:
        clock.advance(1.0)
        raise LookupError

    hooks = chain(clock)
    hooks.register(hook, "failing")
    with capture_logs() as logs:
        run(hooks, 1)
    assert (hooks.errors, hooks.overruns) == ({"failing": 1}, {"failing": 1})
    assert len(logs) == 1


def test_a_hook_that_keeps_failing_is_logged_now_and_then() -> None:
    clock = FakeSeconds()
    hooks = chain(clock)
    hooks.register(failing, "failing")
    with capture_logs() as logs:
        for _ in range(10):
            run(hooks, 1)
        clock.advance(REPORT_INTERVAL_S)
        run(hooks, 1)
    assert [entry["failures"] for entry in logs] == [1, 11]


def test_what_each_hook_costs_and_does_is_counted() -> None:
    clock = FakeSeconds()

    def hook(batch: FlowBatch) -> Mask | None:
        clock.advance(0.25)
        return np.asarray(batch.rows["source_port"] > 1)

    hooks = chain(clock)
    hooks.register(hook, "first")
    hooks.register(lambda _: None, "second")
    with capture_logs():
        run(hooks, 1, 2, 3)
        run(hooks, 1, 1)
    assert hooks.figures() == {
        "first": HookFigures(calls=2, rows=5, stopped=3, overruns=2, seconds=0.5),
        "second": HookFigures(calls=1, rows=2),
    }


def test_two_hooks_of_one_name_are_refused() -> None:
    hooks = chain()
    hooks.register(failing, "one")
    with pytest.raises(ValueError, match="there is a hook one already"):
        hooks.register(failing, "one")


def test_errors_that_are_no_exceptions_pass() -> None:
    hooks = chain()
    hooks.register(lambda _: sys.exit(3), "ending")
    with pytest.raises(SystemExit):
        run(hooks, 1)
