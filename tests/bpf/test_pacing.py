import pytest

from palomar_bpf.pacing import Pacer

RING_BYTES = 64 * 4096


def steady(
    interval_s: float, records: int, busiest_bytes: int, *, drains: int = 8
) -> tuple[Pacer, float]:
    """A pacer after evenly spaced drains, and the time of the last one."""
    pacer = Pacer(RING_BYTES, 0.005)
    now_s = 100.0
    for _ in range(drains):
        now_s += interval_s
        pacer.drained(now_s, records, busiest_bytes)
    return pacer, now_s


def test_nothing_is_known_at_first() -> None:
    assert Pacer(RING_BYTES, 0.005).pause_s(10.0) is None
    pacer, now_s = steady(0.001, 50, 12_000, drains=3)
    assert pacer.pause_s(now_s) is None


def test_a_quiet_node_is_not_read_by_the_clock() -> None:
    pacer, now_s = steady(0.01, 1, 240)
    assert pacer.pause_s(now_s) is None


def test_a_busy_node_gathers_for_the_longest_time_allowed() -> None:
    pacer, now_s = steady(0.001, 1, 240)
    assert pacer.pause_s(now_s) == pytest.approx(0.005)


def test_time_since_the_last_drain_is_part_of_the_pause() -> None:
    pacer, now_s = steady(0.005, 50, 12_000)
    assert pacer.pause_s(now_s + 0.002) == pytest.approx(0.003)
    assert pacer.pause_s(now_s + 0.006) == 0


def test_a_flood_is_read_before_two_fifths_of_the_ring_are_full() -> None:
    pacer, now_s = steady(0.001, 800, 192_000)
    pause_s = pacer.pause_s(now_s)
    assert pause_s is not None
    assert pause_s < 0.001
    assert pause_s * 192_000 / 0.001 == pytest.approx(RING_BYTES * 0.4)


def test_a_flood_that_leaves_no_time_is_read_without_a_pause() -> None:
    pacer, now_s = steady(0.001, 1000, RING_BYTES)
    assert pacer.pause_s(now_s + 0.00035) == 0


def test_a_burst_long_ago_is_forgotten() -> None:
    pacer, now_s = steady(0.005, 50, 12_000)
    assert pacer.pause_s(now_s + 60) is None


def test_a_pause_that_gathered_nothing_ends_the_busy_time() -> None:
    pacer, now_s = steady(0.005, 50, 12_000)
    pacer.calm()
    assert pacer.pause_s(now_s) is None


def test_a_ping_and_its_answer_are_no_load() -> None:
    pacer = Pacer(RING_BYTES, 0.005)
    for second in range(100, 110):
        pacer.drained(second, 1, 240)
        assert pacer.pause_s(second) is None
        pacer.drained(second + 0.0001, 1, 240)
        assert pacer.pause_s(second + 0.0002) is None


def test_no_node_is_busy_where_pauses_are_forbidden() -> None:
    pacer = Pacer(RING_BYTES, 0.0)
    for drain in range(10):
        pacer.drained(100 + drain / 1000, 500, 100_000)
    assert pacer.pause_s(100.0091) is None
