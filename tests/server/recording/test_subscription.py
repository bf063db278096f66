"""What a recording asks for where it does not say more."""

from tests.server.recording.dispatch_testbed import Dispatching, Kept


def test_subscriptions_are_told_apart_whatever_they_ask_for() -> None:
    wanted = Dispatching().filter()
    assert Kept(wanted).subscription != Kept(wanted).subscription


def test_without_more_words_whole_packets_are_wanted_from_now_on() -> None:
    subscription = Kept(Dispatching().filter()).subscription
    assert subscription.snaplen_bytes == subscription.before_ns == 0
    assert subscription.trigger is None
    assert not subscription.wants_notes
