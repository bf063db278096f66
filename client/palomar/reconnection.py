"""When and how often to try again after a stream broke; does no waiting itself.

    with Client(reconnect=Reconnect(delay_max_s=30, attempts_max=100)) as client:
        for flow in client.observe(follow=True, on_reconnect=print, on_gap=print):
            ...

Where a stream goes on is the matter of `flow_recovery`.
"""

import math
from dataclasses import dataclass
from typing import Final

from palomar.errors import InvalidRequest, PalomarError

_BROKEN = frozenset({"UNAVAILABLE"})
"""The server, or the way to it, went away."""

_BUSY = frozenset({"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})
"""What a server says too when all its clients come back at once."""

# How `rpc` begins to say that no connection came about, or none that is as it should be.
_UNREACHED = "cannot reach "

# Proxies that give up a long stream reset it, which gRPC reports under these statuses.
_RESET = frozenset({"INTERNAL", "CANCELLED"})
_RESET_TEXT = "RST_STREAM"

_DOUBLED_MIN_S = 0.05
"""What is doubled at least."""
_LONG_S = 1.0
"""A call that lasted less says nothing about the server, however short the delays are."""
_DOUBLINGS_MAX = 64
"""More would only make numbers that no float can hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconnect:
    """How to try again after a connection was lost: soon at first, then less and less often.

    Only a stream that has been connected is tried again; who cannot reach the server to begin with
    is told at once.

    Raises:
        InvalidRequest: A value means nothing.
    """

    first_delay_s: float = 0.2
    """How long to wait before the first attempt; twice as long before each further one."""
    delay_max_s: float = 5.0
    """But never longer than this: a server that comes back is found within about this time."""
    attempts_max: int | None = None
    """Give up after so many failures in a row, and raise the last one. By default never while
    following, and after five when looking back."""
    jitter: float = 0.25
    """Up to which part a delay is shortened at random, so that the clients of a server that was
    restarted do not all come at the same moment; from 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        for name in ("first_delay_s", "delay_max_s"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise InvalidRequest(f"{name} {value} is no delay; make it 0 or more seconds")
        if self.attempts_max is not None and self.attempts_max < 0:
            raise InvalidRequest(f"attempts_max {self.attempts_max} is negative; make it 0 or more")
        if not 0 <= self.jitter <= 1:
            raise InvalidRequest(f"jitter {self.jitter} is not between 0 and 1")

    def delay_s(self, attempt: int) -> float:
        """How long to wait before an attempt; they count from 1."""
        import random  # noqa: PLC0415 - takes as long to load as a short command; few ever need it

        # Also who begins at once gets slower.
        first_s = self.first_delay_s if attempt == 1 else max(self.first_delay_s, _DOUBLED_MIN_S)
        longest = first_s * 2.0 ** min(attempt - 1, _DOUBLINGS_MAX)
        shortened = 1 - random.uniform(0, self.jitter)  # noqa: S311 - spreads load, keeps no secret
        return min(longest, self.delay_max_s) * shortened


RECONNECT: Final = Reconnect()
"""What a client does that was not told otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """The stream is interrupted, and will be tried again."""

    error: PalomarError
    """What went wrong last."""
    attempt: int
    """Which attempt comes next; they count from 1 and begin anew with the first answer."""
    delay_s: float
    """How long until then."""

    def __str__(self) -> str:
        # What follows the reason is what to do about it, which is being done.
        reason = str(self.error).partition(";")[0]
        when = f"in {self.delay_s:.1f} s" if self.delay_s else "now"
        if self.attempt == 1:
            return f"connection lost: {reason}; reconnecting {when}"
        return f"still no connection: {reason}; reconnecting {when} (attempt {self.attempt})"


class Attempts:
    """Counts failures in a row, and says whether another attempt is worth it.

    Args:
        policy: How to try again.
        attempts_max: No more failures in a row than this, where the policy has no number.
    """

    def __init__(self, policy: Reconnect, attempts_max: int | None = None) -> None:
        self._policy = policy
        self._attempts_max = attempts_max if policy.attempts_max is None else policy.attempts_max
        self._failures = 0

    def succeeded(self) -> None:
        """The server has answered."""
        self._failures = 0

    def failed(self, error: PalomarError, lasted_s: float) -> Outage | None:
        """What to do about a failure; `None`: nothing will help, or enough was tried.

        Args:
            error: The failure.
            lasted_s: How long the call has lasted. One that was open for long had been connected
                even if the server had nothing to say.
        """
        unconnected = str(error).startswith(_UNREACHED)
        if not unconnected and lasted_s > max(self._policy.delay_max_s, _LONG_S):
            self._failures = 0
        if not self._worthwhile(error, unconnected=unconnected):
            return None
        self._failures += 1
        if self._attempts_max is not None and self._failures > self._attempts_max:
            return None
        delay_s = self._policy.delay_s(self._failures)
        return Outage(error=error, attempt=self._failures, delay_s=delay_s)

    def _worthwhile(self, error: PalomarError, *, unconnected: bool) -> bool:
        if error.status in _BROKEN:
            return not unconnected or self._failures > 0
        if error.status in _BUSY:
            return self._failures > 0
        return error.status in _RESET and _RESET_TEXT in error.details
