from __future__ import annotations

from palomar_server.allowance import Allowance


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_so_many_at_once_and_then_so_many_a_second() -> None:
    clock = Clock()
    allowance = Allowance(3, 2, clock)
    assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]
    clock.now_s += 1
    assert [allowance.take() for _ in range(3)] == [True, True, False]


def test_what_is_not_used_adds_up_to_the_burst_and_no_further() -> None:
    clock = Clock()
    allowance = Allowance(3, 2, clock)
    clock.now_s += 1000
    assert [allowance.take() for _ in range(4)] == [True, True, True, False]
