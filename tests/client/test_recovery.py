from datetime import UTC, datetime

from palomar.errors import PalomarError, from_status
from palomar.gap import Gap
from palomar.reconnection import Outage, Reconnect
from palomar.recovery import GAPS_MAX, LOOK_BACK_ATTEMPTS_MAX, Recovery
from palomar_proto.observer.observer_pb2 import GetAgentEventsRequest

SECOND_NS = 1_000_000_000
NOW_NS = 1_700_000_000 * SECOND_NS
AT_ONCE = Reconnect(first_delay_s=0, delay_max_s=0)


def broken() -> PalomarError:
    error = from_status("UNAVAILABLE", "Socket closed", "h:1")
    error.status, error.details = "UNAVAILABLE", "Socket closed"
    return error


def follower(**asked: object) -> Recovery[GetAgentEventsRequest]:
    request = GetAgentEventsRequest(follow=True, **asked)  # type: ignore[arg-type]
    return Recovery(request, AT_ONCE, now_ns=lambda: NOW_NS)


def test_without_a_policy_nothing_is_tried_again() -> None:
    recovery = Recovery(GetAgentEventsRequest(follow=True), None)
    assert recovery.failed(broken(), 0) is None
    recovery.answered()
    assert all(recovery.take(1, "a", "n") for _ in range(2))


def test_a_look_back_cannot_go_on_by_time() -> None:
    recovery = Recovery(GetAgentEventsRequest(number=9), AT_ONCE)
    assert recovery.failed(broken(), 0) is None
    assert LOOK_BACK_ATTEMPTS_MAX > 0


def test_a_follower_goes_on_shortly_before_its_last_event() -> None:
    recovery = follower(number=5)
    for number in range(20):
        recovery.take(NOW_NS + number * SECOND_NS, str(number), "n")
    assert recovery.failed(broken(), 0) == 0
    expected = GetAgentEventsRequest(follow=True)
    expected.since.seconds = NOW_NS // SECOND_NS + 14
    assert recovery.request == expected


def test_what_was_asked_since_stays_the_earliest() -> None:
    recovery = follower(number=5)
    recovery.request.since.seconds = 10
    recovery.take(12 * SECOND_NS, "a", "n")
    recovery.failed(broken(), 0)
    assert recovery.request.since.seconds == 12
    assert recovery.take(12 * SECOND_NS, "a", "n") is False


def test_who_had_read_nothing_asks_again() -> None:
    for asked in (GetAgentEventsRequest(number=5, follow=True), GetAgentEventsRequest(follow=True)):
        if not asked.number:
            asked.since.seconds = 10
        recovery = Recovery(asked, AT_ONCE, now_ns=lambda: NOW_NS)
        assert recovery.failed(broken(), 0) == 0
        assert recovery.request == asked


def test_who_waits_for_what_is_new_asks_since_the_begin() -> None:
    recovery = follower()
    recovery.failed(broken(), 0)
    assert recovery.request.since.seconds == NOW_NS // SECOND_NS
    recovery.answered()
    assert recovery.take(NOW_NS + SECOND_NS, "a", "n")
    (gap,) = recovery.gaps
    assert gap.may_miss_flows
    assert gap.since is None


def test_events_without_times_go_on_from_now() -> None:
    recovery = follower()
    recovery.take(0, "a", "n")
    recovery.failed(broken(), 0)
    assert recovery.request.since.seconds == NOW_NS // SECOND_NS
    recovery.answered()
    assert recovery.take(0, "a", "n")
    assert [gap.may_miss_flows for gap in recovery.gaps] == [True]


def test_a_repetition_shows_that_nothing_is_missing() -> None:
    gaps: list[Gap] = []
    outages: list[Outage] = []
    asked = GetAgentEventsRequest(follow=True)
    recovery = Recovery(asked, AT_ONCE, gaps.append, outages.append, now_ns=lambda: NOW_NS)
    recovery.answered()
    recovery.take(SECOND_NS, "a", "n")
    errors = [broken(), broken()]
    for error in errors:
        assert recovery.failed(error, 0) == 0
    recovery.answered()
    assert not recovery.take(SECOND_NS, "a", "n")
    assert recovery.take(2 * SECOND_NS, "b", "n")
    assert [(outage.attempt, outage.error) for outage in outages] == list(
        zip((1, 2), errors, strict=True)
    )
    assert gaps == [
        Gap(
            since=datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
            until=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
            reason=str(errors[0]),
            may_miss_flows=False,
            lost_events=0,
        )
    ]


def test_something_new_without_a_repetition_may_leave_a_gap() -> None:
    recovery = follower()
    recovery.take(SECOND_NS, "a", "c/n")
    recovery.failed(broken(), 0)
    recovery.answered()
    assert recovery.take(2 * SECOND_NS, "b", "c/n")
    (gap,) = recovery.gaps
    assert gap.may_miss_flows
    assert gap.nodes == ("c/n",)
    assert gap.lost_events is None


def test_who_breaks_off_while_it_catches_up_starts_over() -> None:
    recovery = follower()
    for number, node_name in enumerate(("one", "two"), 1):
        recovery.take(number, node_name, node_name)
    recovery.failed(broken(), 0)
    recovery.answered()
    assert not recovery.take(1, "one", "one")
    assert not recovery.gaps  # the other node has not been heard yet
    recovery.failed(broken(), 0)
    recovery.answered()
    assert not recovery.take(1, "one", "one")
    assert not recovery.take(2, "two", "two")
    (gap,) = recovery.gaps
    assert not gap.may_miss_flows


def test_only_the_last_gaps_are_kept() -> None:
    recovery = follower()
    for number in range(1, GAPS_MAX + 10):
        recovery.take(number, number, "n")
        recovery.failed(broken(), 0)
        recovery.answered()
    assert len(recovery.gaps) == GAPS_MAX
