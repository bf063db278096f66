import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palomar.errors import InvalidRequest, PalomarError, from_status, unreachable
from palomar.reconnection import Attempts, Outage, Reconnect

AT_ONCE = Reconnect(first_delay_s=0, delay_max_s=0)


def error(status: str, details: str = "") -> PalomarError:
    translated = from_status(status, details, "h:1")
    translated.status, translated.details = status, details
    return translated


def refused() -> PalomarError:
    translated = unreachable("h:1", "nothing listens")
    translated.status = "UNAVAILABLE"
    return translated


BROKEN = error("UNAVAILABLE", "Socket closed")


def test_delays_double_up_to_the_longest() -> None:
    policy = Reconnect(first_delay_s=0.5, delay_max_s=3, jitter=0)
    assert [policy.delay_s(attempt) for attempt in (1, 2, 3, 4, 5, 10_000)] == [0.5, 1, 2, 3, 3, 3]


def test_who_begins_at_once_gets_slower_too() -> None:
    policy = Reconnect(first_delay_s=0, delay_max_s=1, jitter=0)
    assert [policy.delay_s(attempt) for attempt in (1, 2, 3, 10)] == [0, 0.1, 0.2, 1]


@given(st.integers(1, 100_000), st.floats(0, 1), st.floats(0, 100), st.floats(0, 100))
def test_delays_stay_within_their_bounds(
    attempt: int, jitter: float, first_s: float, max_s: float
) -> None:
    policy = Reconnect(first_delay_s=first_s, delay_max_s=max_s, jitter=jitter)
    longest = Reconnect(first_delay_s=first_s, delay_max_s=max_s, jitter=0).delay_s(attempt)
    assert longest <= max_s
    assert longest * (1 - jitter) * 0.999 <= policy.delay_s(attempt) <= longest


@pytest.mark.parametrize(
    "bad",
    [
        {"first_delay_s": -1},
        {"delay_max_s": math.nan},
        {"delay_max_s": math.inf},
        {"attempts_max": -1},
        {"jitter": 1.1},
    ],
    ids=str,
)
def test_values_that_mean_nothing_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(bad))):
        Reconnect(**bad)  # type: ignore[arg-type]


def test_a_broken_connection_is_tried_again_with_growing_numbers() -> None:
    attempts = Attempts(AT_ONCE)
    outages = [attempts.failed(one, 0) for one in (BROKEN, refused(), error("RESOURCE_EXHAUSTED"))]
    assert [outage and outage.attempt for outage in outages] == [1, 2, 3]
    attempts.succeeded()
    again = attempts.failed(BROKEN, 0)
    assert again == Outage(error=BROKEN, attempt=1, delay_s=0)


def test_a_connection_that_never_came_about_is_not() -> None:
    attempts = Attempts(AT_ONCE)
    assert attempts.failed(refused(), 0) is None
    assert attempts.failed(error("RESOURCE_EXHAUSTED"), 0) is None


@pytest.mark.parametrize("status", ["INVALID_ARGUMENT", "UNIMPLEMENTED", "UNKNOWN", "CANCELLED"])
def test_what_trying_again_cannot_help_is_not(status: str) -> None:
    attempts = Attempts(AT_ONCE)
    assert attempts.failed(BROKEN, 0)
    assert attempts.failed(error(status, "no"), 0) is None


def test_a_stream_that_a_proxy_reset_is_broken() -> None:
    reset = error("INTERNAL", "Received RST_STREAM with error code 2")
    assert Attempts(AT_ONCE).failed(reset, 0)


def test_enough_failures_in_a_row_are_enough() -> None:
    attempts = Attempts(Reconnect(first_delay_s=0, delay_max_s=0, attempts_max=2), attempts_max=9)
    assert [bool(attempts.failed(BROKEN, 0)) for _ in range(3)] == [True, True, False]
    default = Attempts(AT_ONCE, attempts_max=1)
    assert [bool(default.failed(BROKEN, 0)) for _ in range(2)] == [True, False]
    assert Attempts(Reconnect(attempts_max=0)).failed(BROKEN, 0) is None


def test_a_call_that_was_open_for_long_had_been_connected() -> None:
    attempts = Attempts(Reconnect(first_delay_s=0, delay_max_s=0, attempts_max=1))
    assert all(attempts.failed(BROKEN, lasted_s=60) for _ in range(9))
    assert attempts.failed(refused(), lasted_s=60) is None


def test_an_outage_says_in_one_line_what_happens() -> None:
    first = Outage(error=BROKEN, attempt=1, delay_s=0)
    lost = "connection lost: h:1 is unavailable: Socket closed; reconnecting now"
    assert str(first) == lost
    later = Outage(error=refused(), attempt=2, delay_s=1.26)
    still = (
        "still no connection: cannot reach h:1: nothing listens; reconnecting in 1.3 s (attempt 2)"
    )
    assert str(later) == still


def test_short_calls_do_not_count_as_connected_however_short_the_delays() -> None:
    attempts = Attempts(Reconnect(first_delay_s=0, delay_max_s=0, attempts_max=1))
    assert attempts.failed(BROKEN, lasted_s=0.5)
    assert attempts.failed(BROKEN, lasted_s=0.5) is None
    assert attempts.failed(BROKEN, lasted_s=2)
