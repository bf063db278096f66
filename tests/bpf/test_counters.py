from __future__ import annotations

import pytest

from palomar_bpf.batch import Loss, LossKind
from palomar_bpf.counters import EventCounts, LossCounters, LossSchedule


class FakeCounters:
    """Two CPUs' counts of both kinds of events."""

    def __init__(self) -> None:
        self.counts = [[EventCounts(), EventCounts()], [EventCounts(), EventCounts()]]

    def __call__(self, kind: int) -> list[EventCounts]:
        return self.counts[kind]


@pytest.fixture
def kernel() -> FakeCounters:
    return FakeCounters()


def test_nothing_lost_is_nothing_reported(kernel: FakeCounters) -> None:
    kernel.counts[0][1] = EventCounts(emitted=5)
    assert LossCounters(kernel).losses() == ()


def test_losses_are_reported_once_per_kind_and_cpu(kernel: FakeCounters) -> None:
    times_ns = iter(range(100, 1000, 100))
    counters = LossCounters(kernel, lambda: next(times_ns))
    kernel.counts = [
        [EventCounts(9, 1, 2), EventCounts(9, 0, 4)],
        [EventCounts(9, 10, 20), EventCounts(9, 0, 40)],
    ]
    assert counters.losses() == (
        Loss(LossKind.PERF_RING, 0, 11, first_ns=100),
        Loss(LossKind.RATE_LIMIT, 0, 22, first_ns=100),
        Loss(LossKind.RATE_LIMIT, 1, 44, first_ns=100),
    )
    assert counters.losses() == ()
    kernel.counts[1][1] = EventCounts(9, 3, 40)
    assert counters.losses() == (Loss(LossKind.PERF_RING, 1, 3, first_ns=300),)


def test_totals_are_per_kind_of_event(kernel: FakeCounters) -> None:
    counters = LossCounters(kernel)
    kernel.counts = [
        [EventCounts(1, 2, 3), EventCounts(10, 20, 30)],
        [EventCounts(100, 200, 300), EventCounts()],
    ]
    assert counters.totals() == {
        "trace": EventCounts(11, 22, 33),
        "drop": EventCounts(100, 200, 300),
    }


def test_an_idle_node_never_looks_for_losses() -> None:
    schedule = LossSchedule(1.0)
    assert schedule.wait_s(10.0) is None
    assert not schedule.is_due(11.0, traffic=False, hint=False)
    assert schedule.wait_s(11.0) is None


def test_traffic_is_followed_by_one_last_look() -> None:
    schedule = LossSchedule(1.0)
    assert not schedule.is_due(10.0, traffic=True, hint=False)
    assert schedule.wait_s(10.25) == 0.75
    assert not schedule.is_due(10.5, traffic=False, hint=False)
    assert schedule.is_due(11.0, traffic=False, hint=False)
    assert schedule.wait_s(11.0) is None


def test_steady_traffic_is_looked_at_once_an_interval() -> None:
    schedule = LossSchedule(1.0)
    looks = [schedule.is_due(10 + tenth / 10, traffic=True, hint=False) for tenth in range(50)]
    assert looks.count(True) == 4


def test_a_look_that_was_due_with_traffic_is_followed_by_another() -> None:
    schedule = LossSchedule(1.0)
    schedule.is_due(10.0, traffic=True, hint=False)
    assert schedule.is_due(11.5, traffic=True, hint=False)
    assert schedule.wait_s(11.5) == 1.0


def test_a_hint_is_looked_into_at_once() -> None:
    schedule = LossSchedule(1.0)
    assert schedule.is_due(10.0, traffic=True, hint=True)
    assert schedule.wait_s(10.0) == 1.0
