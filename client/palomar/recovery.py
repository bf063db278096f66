"""Where a stream goes on after it broke, by the times of what was read; Hubble knows nothing else.

A follower asks for what happened since shortly before the last event, and leaves out what it has
seen of it. Does no I/O: the streams tell it what happened, and send the request it has ready.
"""

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Generic

from palomar.errors import PalomarError
from palomar.overlap import Overlap
from palomar.reconnection import Attempts, Outage, Reconnect
from palomar.requests import RequestT

if TYPE_CHECKING:
    from palomar.gap import Gap

OnGap = Callable[["Gap"], None]
OnReconnect = Callable[[Outage], None]

GAPS_MAX: Final = 100
"""How many interruptions a stream remembers: the newest."""

LOOK_BACK_ATTEMPTS_MAX: Final = 5
"""Somebody waits for the end of a look-back: it does not try for ever."""

_SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Recovery(Generic[RequestT]):
    """What one stream needs to go on after its call broke. Only followers can.

    Args:
        asked: The request.
        reconnect: How to try again; `None`: not at all.
        on_gap: Called with each interruption that is over.
        on_reconnect: Called with each interruption that begins, and each attempt that failed.
        now_ns: This machine's clock, UTC ns.

    Attributes:
        request: What to send when the stream is opened next.
        gaps: The last interruptions.
    """

    def __init__(
        self,
        asked: RequestT,
        reconnect: Reconnect | None,
        on_gap: OnGap | None = None,
        on_reconnect: OnReconnect | None = None,
        *,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.request: RequestT = asked
        self.gaps: deque[Gap] = deque(maxlen=GAPS_MAX)
        self._asked: RequestT = asked
        self._on_gap = on_gap
        self._on_reconnect = on_reconnect
        self._now_ns = now_ns
        self._started_ns = now_ns()
        self._attempts: Attempts | None = None
        if reconnect is not None:
            limit = None if asked.follow else LOOK_BACK_ATTEMPTS_MAX
            self._attempts = Attempts(reconnect, limit)
        self._overlap: Overlap | None = None
        self._outage: PalomarError | None = None
        self._since_ns = 0
        self._answered = False
        self._expects = False

    def failed(self, error: PalomarError, lasted_s: float) -> float | None:
        """What to do after the call failed: wait so many seconds, and send `request`.

        Args:
            error: Its failure.
            lasted_s: How long it had been open.

        Returns:
            `None`: raise the error, there is no going on.
        """
        if self._attempts is None or not self._can_go_on():
            return None
        outage = self._attempts.failed(error, lasted_s)
        if outage is None:
            return None
        if self._outage is None or self._answered:
            # Once for all attempts until the next answer.
            self._break_off(error)
        if self._on_reconnect is not None:
            self._on_reconnect(outage)
        return outage.delay_s

    def answered(self) -> None:
        """The server has sent something."""
        self._answered = True
        if self._attempts is not None:
            self._attempts.succeeded()

    def take(self, happened_ns: int, key: str | int, node_name: str) -> bool:
        """Whether an answer is new to the reader; for servers that can only be asked by time.

        Args:
            happened_ns: When it happened, UTC ns; 0 if not known.
            key: Tells it from others.
            node_name: Where it happened.
        """
        if self._attempts is None or not self._asked.follow:
            return True
        if self._overlap is None:
            self._overlap = Overlap()
        new = self._overlap.take(happened_ns, key, node_name)
        if self._outage is not None and not (self._expects and self._overlap.waiting):
            nodes = self._overlap.interrupted if self._expects else ()
            missing = bool(nodes) or not self._expects
            self._settle(may_miss_flows=missing, lost_events=None if missing else 0, nodes=nodes)
        return new

    def _can_go_on(self) -> bool:
        return self._asked.follow

    def _last_ns(self) -> int:
        """Time of the last event that was read, UTC ns; 0 where it is not known."""
        return self._overlap.last_ns if self._overlap else 0

    def _break_off(self, error: PalomarError) -> None:
        if self._overlap is not None:
            self._overlap.heed_clock()
        if self._outage is None:
            self._outage, self._since_ns = error, self._last_ns()
        self._answered = self._expects = False
        self.request = self._by_time()

    def _by_time(self) -> RequestT:
        """Ask for what the server holds since the last event, some of it once more."""
        last_ns = self._since_ns if self._overlap is None else self._overlap.last_ns
        read = self._overlap is not None or bool(last_ns)
        if not read and (self._asked.number or self._asked.HasField("since")):
            return self._asked
        if self._overlap is not None and last_ns:
            self._overlap.expect()
            # Not where all that is remembered is older than what is asked for.
            self._expects = self._overlap.waiting
            since_ns = self._overlap.since_ns()
        elif last_ns:
            since_ns = last_ns + 1
        else:  # no event had a time: only this machine's clock can tell
            since_ns = self._now_ns() if read else self._started_ns
        request = type(self._asked)()
        request.CopyFrom(self._asked)
        request.ClearField("number")
        earliest = (request.since.seconds, request.since.nanos)
        since = max(earliest, divmod(since_ns, _SECOND_NS))
        request.since.seconds, request.since.nanos = since
        return request

    def _settle(
        self,
        *,
        may_miss_flows: bool,
        lost_events: int | None,
        restarted: bool = False,
        nodes: tuple[str, ...] = (),
    ) -> None:
        """The interruption is over: say what came of it."""
        from palomar.gap import Gap  # noqa: PLC0415 - most programs never see one

        error, self._outage = self._outage, None
        gap = Gap(
            since=_when(self._since_ns) if self._since_ns else None,
            until=_when(self._now_ns()),
            reason=str(error),
            may_miss_flows=may_miss_flows,
            lost_events=lost_events,
            restarted=restarted,
            nodes=nodes,
        )
        self.gaps.append(gap)
        if self._on_gap is not None:
            self._on_gap(gap)


def _when(unix_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=unix_ns // 1000)
