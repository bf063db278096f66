from __future__ import annotations

from contextlib import ExitStack

import pytest

from palomar_server.errors import Exhausted, Stopping
from palomar_server.peer import Peer
from palomar_server.streams import Streams

ONE, OTHER = Peer("tcp:192.0.2.1"), Peer("tcp:192.0.2.2")


class Listeners:
    """An audience that counts."""

    def __init__(self) -> None:
        self.listening = 0

    def acquire(self) -> None:
        self.listening += 1

    def release(self) -> None:
        self.listening -= 1


def test_streams_are_limited_in_total() -> None:
    streams = Streams(streams_max=2)
    with ExitStack() as stack:
        stack.enter_context(streams.admitted(ONE))
        stack.enter_context(streams.admitted(OTHER))
        assert len(streams) == 2
        with (
            pytest.raises(Exhausted, match="2 streams are open, which is streams_max"),
            streams.admitted(OTHER),
        ):
            pass
    assert len(streams) == 0


def test_streams_are_limited_for_each_peer() -> None:
    streams = Streams(streams_max_per_peer=1)
    with (
        streams.admitted(ONE),
        streams.admitted(OTHER),
        pytest.raises(Exhausted, match=r"from tcp:192.0.2.1, which is streams_max_per_peer"),
        streams.admitted(ONE),
    ):
        pass
    with streams.admitted(ONE):
        assert len(streams) == 1


def test_only_those_who_follow_are_an_audience() -> None:
    listeners = Listeners()
    streams = Streams(audience=listeners)
    with streams.heard(follow=False):
        assert listeners.listening == 0
    with streams.heard(follow=True):
        assert listeners.listening == 1
    assert listeners.listening == 0


def test_nobody_is_let_in_any_more_when_the_server_stops() -> None:
    streams = Streams()
    streams.stopping = True
    with pytest.raises(Stopping), streams.admitted(ONE):
        pass
