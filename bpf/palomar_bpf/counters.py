"""What the programs counted, and what of it is loss not yet reported.

In goes the `counters` map; out come `Loss`es and totals. Called by `palomar_bpf.capture`.
The map is the only truth about loss: notes of it in the perf rings are mere hints.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palomar_bpf.batch import Loss, LossKind
from palomar_bpf.bpf_call import percpu_lookup, possible_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EVENT_KINDS = ("trace", "drop")
"""Keys of the map: must match KIND_TRACE and KIND_DROP of ratelimit.h."""

_KEY = struct.Struct("=I")
_COUNTER = struct.Struct("=QQQQQ")
"""tokens, refilled_ns, emitted, lost, withheld: must match struct counter of ratelimit.h."""


@dataclass(frozen=True, slots=True)
class EventCounts:
    """What became of one kind of event since the programs were loaded."""

    emitted: int = 0
    """Handed to user space."""
    lost: int = 0
    """Refused by a full perf ring."""
    withheld: int = 0
    """Refused by the rate limit."""

    def __add__(self, other: EventCounts) -> EventCounts:
        return EventCounts(
            self.emitted + other.emitted, self.lost + other.lost, self.withheld + other.withheld
        )


@dataclass(frozen=True, slots=True)
class CaptureStatistics:
    """What live capture did since it was opened."""

    events: Mapping[str, EventCounts]
    """"trace" and "drop": what became of the events."""
    interfaces: Mapping[str, str]
    """Name of each observed interface -> "tcx" or "clsact"."""
    failures: Mapping[str, str]
    """Name of each interface that could not be attached to -> why."""
    link_overruns: int
    """How often changes of links came faster than they could be followed."""
    link_failures: int
    """How often links could not be followed for a reason that was not foreseen, and was logged."""


class LossCounters:
    """Reports each loss once.

    Args:
        read_kind: From a key of EVENT_KINDS' position to the counts of each possible CPU.
        clock_ns: UTC ns.
    """

    def __init__(
        self,
        read_kind: Callable[[int], Sequence[EventCounts]],
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._read_kind = read_kind
        self._clock_ns = clock_ns
        self._looked_ns = clock_ns()
        self._reported: list[EventCounts] = []

    def totals(self) -> dict[str, EventCounts]:
        """Name of each kind of event -> its counts on all CPUs."""
        return {
            name: sum(self._read_kind(kind), EventCounts()) for kind, name in enumerate(EVENT_KINDS)
        }

    def losses(self) -> tuple[Loss, ...]:
        """What was lost since the last call, all kinds of events together, for each CPU."""
        kinds = (self._read_kind(kind) for kind in range(len(EVENT_KINDS)))
        now = [sum(counts, EventCounts()) for counts in zip(*kinds, strict=True)]
        before = self._reported or [EventCounts()] * len(now)
        self._reported = now
        first_ns, self._looked_ns = self._looked_ns, self._clock_ns()
        losses: list[Loss] = []
        for cpu, (old, new) in enumerate(zip(before, now, strict=True)):
            if new.lost > old.lost:
                losses.append(Loss(LossKind.PERF_RING, cpu, new.lost - old.lost, first_ns))
            if new.withheld > old.withheld:
                withheld = new.withheld - old.withheld
                losses.append(Loss(LossKind.RATE_LIMIT, cpu, withheld, first_ns))
        return tuple(losses)


class LossSchedule:
    """When to look for losses: rarely, at once at the first hint, never while nothing happens.

    Losses come only with traffic, so one look after its end finds the last of them.

    Args:
        interval_s: Seconds between looks, and from the last traffic to the last look.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._due_s: float | None = None
        self._looked_s: float | None = None

    def wait_s(self, now_s: float) -> float | None:
        """Seconds until the next look; None if there is no reason for one."""
        return None if self._due_s is None else max(0.0, self._due_s - now_s)

    def is_due(self, now_s: float, *, traffic: bool, hint: bool) -> bool:
        """Whether to look now.

        Args:
            now_s: The time.
            traffic: Whether events came since the last call.
            hint: Whether the kernel noted a loss since then.
        """
        rested = self._looked_s is None or now_s - self._looked_s >= self._interval_s
        due = self._due_s is not None and now_s >= self._due_s
        look = due or (hint and rested)
        if due:
            self._due_s = None
        if look:
            self._looked_s = now_s
        if (traffic or hint) and self._due_s is None:
            self._due_s = now_s + self._interval_s
        return look


def kernel_counts(counters_map_fd: int) -> Callable[[int], list[EventCounts]]:
    """A source for `LossCounters`: the per-CPU array of the loaded programs."""
    cpus = possible_cpus()

    def read_kind(kind: int) -> list[EventCounts]:
        values = percpu_lookup(counters_map_fd, _KEY.pack(kind), _COUNTER.size, cpus)
        return [EventCounts(*_COUNTER.unpack(value)[2:]) for value in values]

    return read_kind
