from __future__ import annotations

import math

import numpy as np
import pytest

from palomar_server.flow_rate import flows_rate
from palomar_server.ring import Ring
from palomar_server.table import Kind
from palomar_server.testing import event_row, flow_rows

NS = 1_000_000_000
NOW_NS = 1_000 * NS


def rate_of(*ages_s: float, capacity: int = 15, **columns: object) -> float:
    ring = Ring(capacity)
    for age_s in ages_s:
        ring.append(flow_rows(1, time_ns=NOW_NS - int(age_s * NS), **columns))
    return flows_rate(ring, NOW_NS)


def test_an_empty_ring_has_no_rate() -> None:
    assert rate_of() == 0


def test_a_ring_that_holds_less_than_a_minute_is_taken_for_its_span() -> None:
    assert rate_of(10, 5, 1) == pytest.approx(0.3)


def test_flows_of_the_last_minute_count_and_one_that_is_just_so_old() -> None:
    assert rate_of(300, 61, 60, 30, 1) == pytest.approx(3 / 60)


def test_the_first_older_flow_ends_the_look_back() -> None:
    assert rate_of(20, 61, 30) == pytest.approx(1 / 60)


def test_other_events_do_not_count() -> None:
    ring = Ring(15)
    ring.append(flow_rows(1, time_ns=NOW_NS - 10 * NS))
    for kind in (Kind.AGENT, Kind.LOST, Kind.DEBUG):
        ring.append(event_row(kind, NOW_NS - 100 * NS), [b"x"])
    assert flows_rate(ring, NOW_NS) == pytest.approx(0.1)


def test_a_full_ring_is_looked_through_to_its_start() -> None:
    ring = Ring(8191)
    ages = np.linspace(59, 1, 20_000)
    ring.append(flow_rows(20_000, time_ns=(NOW_NS - ages * NS).astype(np.uint64)))
    span_s = ages[-8191]
    assert flows_rate(ring, NOW_NS) == pytest.approx(8191 / span_s)


def test_flows_of_the_future_give_what_hubble_gives() -> None:
    assert rate_of(-4) == pytest.approx(-1 / 4)
    assert rate_of(0) == math.inf
