from palomar.errors import from_status
from palomar.event_recovery import EventRecovery
from palomar.reconnection import Reconnect
from palomar_proto.flow.flow_pb2 import DebugEvent
from palomar_proto.observer.observer_pb2 import GetDebugEventsRequest, GetDebugEventsResponse


def test_events_are_told_apart_by_all_of_them() -> None:
    recovery = EventRecovery(GetDebugEventsRequest(follow=True), Reconnect())
    events = [GetDebugEventsResponse(debug_event=DebugEvent(message=text)) for text in "aab"]
    for event in events:
        event.time.seconds = 9
        assert recovery.take_response(event)
    error = from_status("UNAVAILABLE", "Socket closed", "h:1")
    error.status = "UNAVAILABLE"
    assert recovery.failed(error, 0) is not None
    recovery.answered()
    assert recovery.request.since.seconds == 9
    assert [recovery.take_response(event) for event in [*events, events[0]]] == [
        *(False, False, False),
        True,
    ]
