from __future__ import annotations

from palomar_proto.flow import flow_pb2
from palomar_server.ring_loss import NOTHING, LossTally


def test_losses_are_told_once_an_interval_with_their_first_and_last_time() -> None:
    tally = LossTally(1000)
    assert not tally
    tally.add(3, 50)
    assert tally.due(50)
    assert tally.take(50).events == 3
    tally.add(1, 100)
    tally.add(2, 900)
    assert tally
    assert not tally.due(1049)
    assert tally.due(1050)
    told = tally.take(1050)
    assert (told.events, told.first_ns, told.last_ns) == (3, 100, 900)
    assert tally.take(1050) is NOTHING


def test_a_clock_that_was_set_back_does_not_silence_the_notices() -> None:
    tally = LossTally(1000)
    tally.add(1, 5000)
    tally.take(5000)
    tally.add(1, 100)
    assert tally.due(100)


def test_a_notice_is_one_of_the_ring() -> None:
    tally = LossTally(0)
    tally.add(7, 1_500_000_000)
    event = flow_pb2.LostEvent.FromString(tally.take(0).message())
    assert (event.source, event.num_events_lost) == (flow_pb2.HUBBLE_RING_BUFFER, 7)
    assert event.first.ToNanoseconds() == event.last.ToNanoseconds() == 1_500_000_000
