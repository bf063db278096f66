import signal
import subprocess
import sys
import threading

import pytest

from palomar.interrupts import Interrupts, leaving_in_order


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


LEAVES = """
import signal
from palomar.interrupts import Interrupts, leaving_in_order

with leaving_in_order():
    with Interrupts(lambda: None):
        pass
    try:
        signal.raise_signal({number})
    finally:
        print("tidy", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_the_process_lets_it_tidy_up_first(number: signal.Signals) -> None:
    command = [sys.executable, "-c", LEAVES.format(number=int(number))]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (-number, b"tidy\n")


def test_without_a_signal_all_is_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with leaving_in_order():
        pass
    assert signal.getsignal(signal.SIGTERM) is before
