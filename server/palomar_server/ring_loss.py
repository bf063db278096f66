"""Events that a reader of the ring lost to its writer."""

from __future__ import annotations

from dataclasses import dataclass

from palomar_proto.flow import flow_pb2


@dataclass(frozen=True, slots=True)
class RingLoss:
    """So many events, and when their loss was noticed."""

    events: int = 0
    first_ns: int = 0
    """UTC ns; 0 where nothing was lost."""
    last_ns: int = 0
    """Likewise."""

    def message(self) -> bytes:
        """The serialised flow.LostEvent that tells it."""
        event = flow_pb2.LostEvent(source=flow_pb2.HUBBLE_RING_BUFFER, num_events_lost=self.events)
        event.first.FromNanoseconds(self.first_ns)
        event.last.FromNanoseconds(self.last_ns)
        return event.SerializeToString()


NOTHING = RingLoss()


class LossTally:
    """Sums one stream's losses up to one notice per interval.

    Args:
        interval_ns: at most one notice in this time; 0 tells each at once.
    """

    __slots__ = ("_events", "_first_ns", "_last_ns", "_told_ns", "interval_ns")

    def __init__(self, interval_ns: int) -> None:
        self.interval_ns = interval_ns
        self._events = 0
        self._first_ns = 0
        self._last_ns = 0
        self._told_ns: int | None = None

    def __bool__(self) -> bool:
        """Whether anything is still to be told."""
        return self._events > 0

    def add(self, events: int, now_ns: int) -> None:
        """Count a loss that was noticed now."""
        if not self._events:
            self._first_ns = now_ns
        self._last_ns = now_ns
        self._events += events

    def due(self, now_ns: int) -> bool:
        """Whether a notice should be sent now."""
        # A clock that was set back must not silence the notices.
        waited = self._told_ns is None or not 0 <= now_ns - self._told_ns < self.interval_ns
        return self._events > 0 and waited

    def take(self, now_ns: int) -> RingLoss:
        """Everything counted, which is told with this, and start anew."""
        loss = RingLoss(self._events, self._first_ns, self._last_ns) if self._events else NOTHING
        self._events = 0
        self._told_ns = now_ns
        return loss
