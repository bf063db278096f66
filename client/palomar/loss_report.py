"""What a run lost, told once at its end with what to change against it.

In: the notices of lost events of one stream, as they come. Out: a few lines for people. A busy node
may send thousands of notices, whose numbers nobody adds up by eye, and none of them says which
setting to raise. Used by `flow_run`.
"""

from collections.abc import Iterable

from palomar.printers.escape import visible
from palomar_proto.flow.flow_pb2 import (
    HUBBLE_RING_BUFFER,
    OBSERVER_EVENTS_QUEUE,
    PERF_EVENT_RING_BUFFER,
    LostEvent,
)
from palomar_proto.palomar.v1 import loss_pb2

_CPUS_SHOWN_MAX = 8
_NODES_SHOWN_MAX = 3
_SOURCES_MAX = 16
_NODES_MAX = 10_000
"""Kept names of nodes; there are no clusters with more."""
_CPUS_MAX = 4_096
"""Kept numbers of CPUs by source; there are no machines with more."""

# By source: what happened, and what to do against it; settings of palomard, then of Cilium.
_ADVICE: dict[int, tuple[str, str]] = {
    PERF_EVENT_RING_BUFFER: (
        "came faster than the agent read them from the kernel",
        "raise --pages-per-cpu of palomard; with Cilium, raise monitor-aggregation",
    ),
    OBSERVER_EVENTS_QUEUE: (
        "found the observer's queue full",
        "raise hubble-event-queue-size of Cilium",
    ),
    HUBBLE_RING_BUFFER: (
        "were overwritten before they could be sent",
        "ask for less, or raise --ring-capacity of palomard (Cilium: hubble-event-buffer-capacity)",
    ),
    loss_pb2.KERNEL_RATE_LIMIT: (
        "were withheld in the kernel, being more than it may report",
        "raise --trace-rate-per-cpu, or --drop-rate-per-cpu, of palomard",
    ),
    loss_pb2.DECODER: (
        "could not be read by the agent",
        "bring palomard and the kernel's programs to one version; its log names the bytes",
    ),
    loss_pb2.SOURCE_GAP: (
        "is how often the agent's source was cut off, each time with unknown losses",
        "see in its log why the Cilium agent's monitor went away",
    ),
}
_UNKNOWN = ("were lost at a stage that has no name here", "see the server's log")


class LossReport:
    """Adds up the notices of one stream."""

    def __init__(self) -> None:
        self._events: dict[int, int] = {}
        self._cpus: dict[int, set[int]] = {}
        self._nodes: set[str] = set()

    def add(self, lost: LostEvent, node_name: str = "") -> None:
        """Count a notice.

        Args:
            lost: The notice.
            node_name: Who sent it, where that is known.
        """
        source = lost.source
        if source not in self._events and len(self._events) >= _SOURCES_MAX:
            source = LostEvent().source
        self._events[source] = self._events.get(source, 0) + lost.num_events_lost
        if lost.HasField("cpu"):
            cpus = self._cpus.setdefault(source, set())
            if len(cpus) < _CPUS_MAX:
                cpus.add(lost.cpu.value)
        if node_name and len(self._nodes) < _NODES_MAX:
            self._nodes.add(node_name)

    @property
    def events(self) -> int:
        """How many events were lost."""
        return sum(self._events.values())

    def lines(self) -> list[str]:
        """Tell what was lost and what to do; nothing if nothing was."""
        if not self._events:
            return []
        where = f" on {_shortened(sorted(map(visible, self._nodes)), _NODES_SHOWN_MAX)}"
        lines = [
            f"{self.events:,} events were lost{where if self._nodes else ''}; flows may be missing:"
        ]
        for source, events in sorted(self._events.items(), key=lambda item: -item[1]):
            happened, remedy = _ADVICE.get(source, _UNKNOWN)
            cpus = sorted(self._cpus.get(source, ()))
            on = f" (CPU {_shortened(map(str, cpus), _CPUS_SHOWN_MAX)})" if cpus else ""
            lines.append(f"  {events:,} {happened}{on}: {remedy}")
        return lines


def _shortened(names: Iterable[str], shown_max: int) -> str:
    names = list(names)
    more = len(names) - shown_max
    text = ", ".join(names[:shown_max])
    return f"{text} and {more} more" if more > 0 else text
