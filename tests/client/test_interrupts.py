import signal
import threading

import pytest

from palomar.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_begins_the_end_and_the_second_insists(number: signal.Signals) -> None:
    begun = threading.Event()
    before = signal.getsignal(number)
    with Interrupts(begun.set) as interrupts:
        assert not interrupts.seen
        signal.raise_signal(number)
        assert begun.wait(5)
        assert interrupts.seen
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_reading_goes_on_while_the_end_takes_its_time() -> None:
    go_on = threading.Event()
    over = threading.Event()

    def begin_end() -> None:
        go_on.wait(5)
        over.set()

    with Interrupts(begin_end) as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert interrupts.seen
        assert not over.is_set()
        go_on.set()
        assert over.wait(5)


def test_what_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts(lambda: None) as interrupts:
            signal.raise_signal(signal.SIGINT)
            assert not interrupts.seen
    finally:
        signal.signal(signal.SIGINT, before)
