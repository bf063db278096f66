"""Replay: a recorded event file as a source, at its own, a fixed, or full speed.

In: an event file. Out: its batches and context objects in their order, when they are due. Called by
the agent through `source.Source`. The payloads and their times are those of the recording, so the
same file gives the same flows at any speed.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from palomar_bpf.batch import PayloadBatch
from palomar_server.event_file import EventFileReader
from palomar_server.event_frame import part_of
from palomar_server.source import END

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from palomar_server.source import SourceItem

Speed: TypeAlias = Literal["recorded", "max"] | float
"""`recorded`: with the pauses of the recording; `max`: without any; a number: events per second."""

SLICE_S = 1e-3
"""At a fixed rate, events go out in slices of at least this duration: steady, and few wake-ups."""


class _Pace(Protocol):
    """Says when the batch that is next is due, and how much of it."""

    def begin(self, received_ns: int) -> None:
        """The next batch is one received then."""

    def wait_s(self) -> float:
        """Seconds until something of it is due; 0 or less for now."""

    def due_events(self) -> int:
        """How many of its events are due now."""

    def sent(self, events: int) -> None:
        """So many went out."""

    def restart(self) -> None:
        """The file begins again."""


class _FullSpeed:
    """Everything is due at once."""

    def begin(self, received_ns: int) -> None:
        pass

    def wait_s(self) -> float:
        return 0.0

    def due_events(self) -> int:
        return sys.maxsize

    def sent(self, events: int) -> None:
        pass

    def restart(self) -> None:
        pass


class _RecordedSpeed(_FullSpeed):
    """A batch is due as long after the first as it was received after it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None
        self._due_s = 0.0

    def begin(self, received_ns: int) -> None:
        if self._first is None:
            self._first = self._clock(), received_ns
        started_s, first_ns = self._first
        # The wall clock of the recording may have been set back; order is kept all the same.
        self._due_s = max(self._due_s, started_s + (received_ns - first_ns) / 1e9)

    def wait_s(self) -> float:
        return self._due_s - self._clock()

    def restart(self) -> None:
        self._first = None


class _FixedSpeed:
    """So many events a second, from the first read on."""

    def __init__(self, events_per_s: float, clock: Callable[[], float]) -> None:
        self._events_per_s = events_per_s
        self._clock = clock
        self._started_s: float | None = None
        self._slice_s = 0.0
        self._sent = 0

    def begin(self, received_ns: int) -> None:  # noqa: ARG002 -- the recording's times play no part
        if self._started_s is None:
            self._started_s = self._slice_s = self._clock()

    def wait_s(self) -> float:
        return max(self._due_s(self._sent + 1), self._slice_s + SLICE_S) - self._clock()

    def _due_s(self, event: int) -> float:
        return (self._started_s or 0.0) + event / self._events_per_s

    def due_events(self) -> int:
        now_s = self._clock()
        return max(1, int((now_s - self._due_s(0)) * self._events_per_s) - self._sent)

    def sent(self, events: int) -> None:
        self._sent += events
        self._slice_s = min(self._due_s(self._sent), self._clock())

    def restart(self) -> None:
        pass


def _pace(speed: Speed, clock: Callable[[], float]) -> _Pace:
    if speed == "max":
        return _FullSpeed()
    if speed == "recorded":
        return _RecordedSpeed(clock)
    return _FixedSpeed(float(speed), clock)


class ReplaySource:
    """Gives what an event file holds, batches cut to a maximum and to the pace.

    At a fixed rate the schedule is the clock's: if the consumer falls behind, what is overdue comes
    without pauses, in batches of up to `batch_max`.
    """

    def __init__(
        self,
        path: Path,
        speed: Speed,
        *,
        batch_max: int = 8192,
        repeat: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the file.

        Args:
            path: the event file.
            speed: when its events are due.
            batch_max: most events in one batch.
            repeat: how many times the file is played, as if it stood in itself so many times.
            clock: seconds that only go forward.

        Raises:
            EventFileError: the file cannot be opened, or is no event file.
            ValueError: `speed`, `batch_max` or `repeat` is not positive.
        """
        if batch_max < 1 or repeat < 1 or (isinstance(speed, float | int) and not speed > 0):
            raise ValueError(
                f"speed {speed}, batch_max {batch_max} and repeat {repeat} must be positive"
            )
        self._path = path
        self._batch_max = batch_max
        self._passes_left = repeat - 1
        self._pace = _pace(speed, clock)
        self._woken = threading.Event()
        self._reader: EventFileReader | None = EventFileReader(path)
        self._batch: PayloadBatch | None = None
        """Being handed out, up to `_position`."""
        self._position = 0
        self.truncated = False
        """The file ended within a frame, as a killed daemon leaves it."""

    @property
    def finished(self) -> bool:
        """Whether reads return END."""
        return self._reader is None

    def read(self, timeout_s: float | None = None) -> SourceItem | None:
        """See `source.Source.read`."""
        if self._take_wake():
            return None
        if self._batch is None:
            item = self._next_item()
            if not isinstance(item, PayloadBatch):
                return item
            self._batch, self._position = item, 0
            self._pace.begin(item.received_ns)
        if not self._wait_until_due(timeout_s):
            return None
        return self._next_part(self._batch)

    def _wait_until_due(self, timeout_s: float | None) -> bool:
        wait_s = self._pace.wait_s()
        if wait_s <= 0:
            return True
        is_due_in_time = timeout_s is None or wait_s <= timeout_s
        woken = self._woken.wait(wait_s if is_due_in_time else timeout_s)
        return not (woken and self._take_wake()) and is_due_in_time

    def _take_wake(self) -> bool:
        woken = self._woken.is_set()
        if woken:
            self._woken.clear()
        return woken

    def _next_item(self) -> SourceItem:
        while self._reader is not None:
            item = next(self._reader, None)
            if item is not None:
                return item
            self.truncated |= self._reader.truncated
            self.close()
            if self._passes_left > 0:
                self._passes_left -= 1
                self._reader = EventFileReader(self._path)
                self._pace.restart()
        return END

    def _next_part(self, batch: PayloadBatch) -> PayloadBatch:
        left = len(batch) - self._position
        count = min(left, self._batch_max, self._pace.due_events())
        part = (
            batch if count == len(batch) else part_of(batch, self._position, self._position + count)
        )
        self._position += count
        self._pace.sent(count)
        if self._position >= len(batch):
            self._batch = None
        return part

    def wake(self) -> None:
        """See `source.Source.wake`."""
        self._woken.set()

    def close(self) -> None:
        """See `source.Source.close`."""
        reader, self._reader = self._reader, None
        self._batch = None
        if reader is not None:
            reader.close()
