from itertools import takewhile

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from palomar.overlap import Overlap, flow_time_ns, time_ns
from palomar.testing import make_response
from palomar_proto.observer.observer_pb2 import GetFlowsResponse

SECOND_NS = 1_000_000_000


def test_times_are_read_from_the_response_or_its_flow() -> None:
    assert time_ns(Timestamp(seconds=2, nanos=3)) == 2_000_000_003
    response = make_response(time="1970-01-01T00:00:05Z")
    assert flow_time_ns(response) == 5 * SECOND_NS
    response.ClearField("time")
    assert flow_time_ns(response) == 5 * SECOND_NS
    assert flow_time_ns(GetFlowsResponse()) == 0


def test_what_was_taken_is_new_only_once() -> None:
    overlap = Overlap()
    taken = [(SECOND_NS + number, number, "n") for number in (1, 2, 2, 3)]
    assert all(overlap.take(*one) for one in taken)
    overlap.expect()
    assert overlap.since_ns() == SECOND_NS + 1  # nothing older was asked for
    assert [overlap.take(*one) for one in taken] == [False] * 4
    assert overlap.take(SECOND_NS + 3, 2, "n")
    assert overlap.last_ns == SECOND_NS + 3


def test_a_node_that_repeats_itself_was_not_interrupted() -> None:
    overlap = Overlap()
    overlap.take(10, "a", "one")
    overlap.take(11, "b", "two")
    overlap.take(12, "c", "three")
    overlap.expect()
    assert overlap.waiting
    overlap.take(10, "a", "one")
    overlap.take(13, "d", "two")  # something new of it, without a repetition before
    assert overlap.waiting
    assert overlap.interrupted == ("two",)
    # The third has nothing to say: after a while that is taken for an interruption too.
    overlap.take(12 + 5 * SECOND_NS + 1, "e", "one")
    assert not overlap.waiting
    assert overlap.interrupted == ("three", "two")


def test_late_flows_of_other_nodes_are_new() -> None:
    overlap = Overlap()
    overlap.take(8 * SECOND_NS, "a", "one")
    overlap.take(10 * SECOND_NS, "b", "one")
    overlap.expect()
    assert overlap.since_ns() == 8 * SECOND_NS
    assert not overlap.take(8 * SECOND_NS, "a", "one")
    assert overlap.take(9 * SECOND_NS, "late", "two")
    assert not overlap.take(10 * SECOND_NS, "b", "one")


def test_what_has_no_time_is_not_remembered() -> None:
    overlap = Overlap()
    assert overlap.take(0, "a", "n")
    overlap.expect()
    assert overlap.take(0, "a", "n")
    assert overlap.last_ns == 0


def test_a_clock_that_was_ahead_once_leaves_nothing_to_repeat() -> None:
    overlap = Overlap(answers_max=1)
    assert overlap.take(10**18, "future", "n")
    assert overlap.take(1, "a", "n")
    assert overlap.take(2, "b", "n")


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), max_size=60),
    st.integers(1, 10),
    st.integers(1, 12),
)
def test_nothing_is_taken_twice_however_little_is_remembered(
    events: list[tuple[int, int]], span_ns: int, answers_max: int
) -> None:
    # Events of any times, in any order, equal ones among them.
    overlap = Overlap(span_ns, answers_max)
    assert all(overlap.take(happened_ns, key, "n") for happened_ns, key in events)
    assert len(overlap._recent) <= answers_max
    overlap.expect()
    since_ns = overlap.since_ns()
    first_ns = events[0][0] if events else 0
    again = [one for one in events if one[0] >= max(since_ns, 1)]
    assert first_ns <= since_ns or not events
    assert not any(overlap.take(happened_ns, key, "n") for happened_ns, key in again)


def test_a_clock_that_was_set_back_is_believed() -> None:
    overlap = Overlap()
    hour_ns = 3600 * SECOND_NS
    for number in range(20):
        overlap.take(2 * hour_ns + number * SECOND_NS, f"before {number}", "n")
    for number in range(10):
        overlap.take(hour_ns + number * SECOND_NS, f"after {number}", "n")
    overlap.heed_clock()
    overlap.expect()
    assert overlap.last_ns == hour_ns + 9 * SECOND_NS
    assert overlap.since_ns() == hour_ns + 4 * SECOND_NS
    assert overlap.waiting
    assert not overlap.take(hour_ns + 4 * SECOND_NS, "after 4", "n")
    assert not overlap.waiting
    assert overlap.take(hour_ns + 10 * SECOND_NS, "new", "n")


def test_behind_a_relay_one_clock_that_is_behind_changes_nothing() -> None:
    overlap = Overlap()
    overlap.take(100 * SECOND_NS, "a", "one")
    overlap.take(10 * SECOND_NS, "b", "two")
    overlap.heed_clock()
    assert overlap.last_ns == 100 * SECOND_NS


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), min_size=1, max_size=60),
    st.integers(1, 10),
    st.integers(1, 12),
)
def test_a_server_that_looks_back_repeats_nothing_whatever_its_clock_does(
    events: list[tuple[int, int]], span_ns: int, answers_max: int
) -> None:
    overlap = Overlap(span_ns, answers_max)
    for happened_ns, key in events:
        overlap.take(happened_ns, key, "n")
    overlap.heed_clock()
    overlap.expect()
    since_ns = overlap.since_ns()
    again = list(takewhile(lambda one: one[0] >= since_ns, reversed(events)))
    assert not any(overlap.take(*one, "n") for one in reversed(again))
