"""Notices of loss: what streams are told where events are missing."""

from __future__ import annotations

from palomar_bpf.batch import LossKind
from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import loss_pb2

SOURCES: dict[LossKind, int] = {
    LossKind.PERF_RING: flow_pb2.PERF_EVENT_RING_BUFFER,
    # Hubble has no name for these stages, and the enumeration is open.
    LossKind.RATE_LIMIT: loss_pb2.KERNEL_RATE_LIMIT,
    LossKind.SOURCE_GAP: loss_pb2.SOURCE_GAP,
}
"""Number of flow.LostEventSource, or else of palomar.v1.LossSource, of each stage."""

_NAMED = frozenset((*flow_pb2.LostEventSource.values(), *loss_pb2.LossSource.values()))


def lost_event(
    source: int, events: int, *, cpu: int | None = None, first_ns: int = 0, last_ns: int = 0
) -> flow_pb2.LostEvent:
    """Build a notice.

    Args:
        source: the stage, one of `SOURCES`' values; a number that has no name means unknown.
        events: how many events were lost.
        cpu: where; None: the stage has none.
        first_ns: when the first was lost, UTC ns; 0: not known.
        last_ns: when the last was, likewise.
    """
    number = source if source in _NAMED else flow_pb2.UNKNOWN_LOST_EVENT_SOURCE
    event = flow_pb2.LostEvent(
        source=flow_pb2.LostEventSource.ValueType(number), num_events_lost=events
    )
    if cpu is not None:
        event.cpu.value = cpu
    if first_ns:
        event.first.FromNanoseconds(first_ns)
    if last_ns:
        event.last.FromNanoseconds(last_ns)
    return event
