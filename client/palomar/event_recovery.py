"""Where a stream of agent or debug events goes on after it broke: they have times, no positions."""

from typing import TypeAlias, TypeVar

from palomar.overlap import time_ns
from palomar.recovery import Recovery
from palomar.requests import EventRequestT
from palomar_proto.observer.observer_pb2 import GetAgentEventsResponse, GetDebugEventsResponse

EventResponse: TypeAlias = GetAgentEventsResponse | GetDebugEventsResponse
EventResponseT = TypeVar("EventResponseT", GetAgentEventsResponse, GetDebugEventsResponse)


class EventRecovery(Recovery[EventRequestT]):
    """What one stream of events needs to go on after its call broke."""

    def take_response(self, response: EventResponse) -> bool:
        """Whether an event is new to the reader."""
        if self._attempts is None:
            return True
        key = hash(response.SerializeToString())
        return self.take(time_ns(response.time), key, response.node_name)
