"""What one recording wants of the packets that are dispatched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_recorder.sink import Sink
    from palomar_server.recording.packet_filter import CompiledPacketFilter


@dataclass(eq=False, slots=True)
class Subscription:
    """One recording, as the dispatcher knows it."""

    filter: CompiledPacketFilter
    """Which packets."""
    sink: Sink
    """Gets them; it may be started before or after it is added."""
    wants_notes: bool = False
    """Whether each packet is to have a note, which means that it has to be decoded."""
    snaplen_bytes: int = 0
    """Of each packet, as of the sink; 0 for all."""
    trigger: CompiledPacketFilter | None = None
    """If given, nothing is offered before a packet matches this. That packet is offered if it also
    matches `filter`."""
    before_ns: int = 0
    """How far before the trigger, or the begin where there is none, packets are wanted. Of the time
    before the subscription was added only a flight recorder has any."""
    before_max_bytes: int = 0
    """Memory for packets from before the trigger."""
    on_trigger: Callable[[int], None] = lambda _time_ns: None
    """Called once with the time of the packet that the trigger matched, UTC ns, on the dispatcher's
    thread and before any packet is offered: the place to set the sink's `until_steady_ns`."""
    triggered_ns: int | None = None
    """When the trigger fired; set by the dispatcher."""
