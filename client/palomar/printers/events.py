"""Agent and debug events as text: the columns of the human formats.

In: the responses of GetAgentEvents and GetDebugEvents. Out: short texts in Hubble's words, with
control characters of remote origin written out. The printers only arrange these.
"""

from collections.abc import Callable, Iterator
from typing import Any

from palomar.printers.escape import visible
from palomar.printers.time_format import UNKNOWN_TIME, Formatter
from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2

EventResponse = observer_pb2.GetAgentEventsResponse | observer_pb2.GetDebugEventsResponse

_UNKNOWN = "UNKNOWN"
_MISSING = "N/A"
_RESERVED = "reserved:"

# Proto3 enumerations are open: a number without a name is shown as the number.
_AGENT_TYPES = {value.number: value.name for value in flow_pb2.AgentEventType.DESCRIPTOR.values}
_DEBUG_TYPES = {value.number: value.name for value in flow_pb2.DebugEventType.DESCRIPTOR.values}


def event_time(response: EventResponse, format_time: Formatter) -> str:
    """Format the time of an event, which only its response knows."""
    if not response.HasField("time"):
        return UNKNOWN_TIME
    return format_time(response.time.seconds, response.time.nanos)


def agent_event_type(event: flow_pb2.AgentEvent) -> str:
    """Name what happened."""
    return _AGENT_TYPES.get(event.type) or str(event.type)


def agent_event_details(event: flow_pb2.AgentEvent, format_time: Formatter) -> str:
    """Say what it happened to; `UNKNOWN` where the event does not tell, or not what its type says.

    The details are those of the type, not of whatever notification the event carries.
    """
    name, details = _DETAILS.get(event.type, ("", None))
    if details is None or event.WhichOneof("notification") != name:
        return _UNKNOWN
    return visible(", ".join(details(getattr(event, name), format_time)))


def debug_event_type(event: flow_pb2.DebugEvent) -> str:
    """Name the message of the BPF program."""
    return _DEBUG_TYPES.get(event.type) or str(event.type)


def debug_event_source(event: flow_pb2.DebugEvent) -> str:
    """Name the endpoint whose program sent the message."""
    if not event.HasField("source"):
        return _MISSING
    source = event.source
    number = f"ID: {source.ID}"
    if source.namespace and source.pod_name:
        return visible(f"{source.namespace}/{source.pod_name} ({number})")
    if len(source.labels) == 1 and source.labels[0].startswith(_RESERVED):
        return visible(f"{source.labels[0]} ({number})")
    return number


def debug_event_mark(event: flow_pb2.DebugEvent) -> str:
    """Show the hash of the packet, in hexadecimal."""
    return f"0x{event.hash.value:x}" if event.HasField("hash") else _MISSING


def debug_event_cpu(event: flow_pb2.DebugEvent) -> str:
    """Number the CPU."""
    return f"{event.cpu.value:02d}" if event.HasField("cpu") else _MISSING


def _unknown(event: flow_pb2.AgentEventUnknown, _: Formatter) -> Iterator[str]:
    yield f"type: {event.type}"
    yield f"notification: {event.notification}"


def _start(event: flow_pb2.TimeNotification, format_time: Formatter) -> Iterator[str]:
    known = event.HasField("time")
    time = format_time(event.time.seconds, event.time.nanos) if known else UNKNOWN_TIME
    yield f"start time: {time}"


def _policy(event: flow_pb2.PolicyUpdateNotification, _: Formatter) -> Iterator[str]:
    yield f"labels: [{','.join(event.labels)}]"
    yield f"revision: {event.revision}"
    yield f"count: {event.rule_count}"


def _regeneration(event: flow_pb2.EndpointRegenNotification, _: Formatter) -> Iterator[str]:
    yield f"id: {event.id}"
    yield f"labels: [{','.join(event.labels)}]"
    if event.error:
        yield f"error: {event.error}"


def _endpoint(event: flow_pb2.EndpointUpdateNotification, _: Formatter) -> Iterator[str]:
    yield f"id: {event.id}"
    if event.namespace:
        yield f"namespace: {event.namespace}"
    if event.pod_name:
        yield f"pod name: {event.pod_name}"


def _ipcache(event: flow_pb2.IPCacheNotification, _: Formatter) -> Iterator[str]:
    yield f"cidr: {event.cidr}"
    yield f"identity: {event.identity}"
    if event.HasField("old_identity"):
        yield f"old identity: {event.old_identity.value}"
    if event.host_ip:
        yield f"host ip: {event.host_ip}"
    if event.old_host_ip:
        yield f"old host ip: {event.old_host_ip}"
    yield f"encrypt key: {event.encrypt_key}"


def _service(event: flow_pb2.ServiceUpsertNotification, _: Formatter) -> Iterator[str]:
    yield f"id: {event.id}"
    if event.HasField("frontend_address"):
        yield f"frontend: {_address(event.frontend_address)}"
    if event.backend_addresses:
        yield f"backends: [{','.join(map(_address, event.backend_addresses))}]"
    if event.type:
        yield f"type: {event.type}"
    if event.traffic_policy:
        yield f"traffic policy: {event.traffic_policy}"
    if event.namespace:
        yield f"namespace: {event.namespace}"
    if event.name:
        yield f"name: {event.name}"


def _service_end(event: flow_pb2.ServiceDeleteNotification, _: Formatter) -> Iterator[str]:
    yield f"id: {event.id}"


def _address(address: flow_pb2.ServiceUpsertNotificationAddr) -> str:
    host = f"[{address.ip}]" if ":" in address.ip else address.ip
    return f"{host}:{address.port}"


_DETAILS: dict[int, tuple[str, Callable[[Any, Formatter], Iterator[str]]]] = {
    flow_pb2.AGENT_EVENT_UNKNOWN: ("unknown", _unknown),
    flow_pb2.AGENT_STARTED: ("agent_start", _start),
    flow_pb2.POLICY_UPDATED: ("policy_update", _policy),
    flow_pb2.POLICY_DELETED: ("policy_update", _policy),
    flow_pb2.ENDPOINT_REGENERATE_SUCCESS: ("endpoint_regenerate", _regeneration),
    flow_pb2.ENDPOINT_REGENERATE_FAILURE: ("endpoint_regenerate", _regeneration),
    flow_pb2.ENDPOINT_CREATED: ("endpoint_update", _endpoint),
    flow_pb2.ENDPOINT_DELETED: ("endpoint_update", _endpoint),
    flow_pb2.IPCACHE_UPSERTED: ("ipcache_update", _ipcache),
    flow_pb2.IPCACHE_DELETED: ("ipcache_update", _ipcache),
    flow_pb2.SERVICE_UPSERTED: ("service_upsert", _service),
    flow_pb2.SERVICE_DELETED: ("service_delete", _service_end),
}
"""By type: the notification that tells the details, and how."""
