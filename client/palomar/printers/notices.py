"""What a stream says beside its flows: lost events and node status changes, as text.

In: the messages and a time formatter. Out: the parts that the human formats share. Control
characters of remote origin are written out.
"""

from palomar.go_syntax import quote
from palomar.printers.escape import visible
from palomar.printers.time_format import UNKNOWN_TIME, Formatter
from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_proto.palomar.v1.loss_pb2 import LossSource
from palomar_proto.relay import relay_pb2

# Our own stages continue Hubble's open enumeration; theirs win where both name a number.
_LOSS_SOURCES = {value.number: value.name for value in LossSource.DESCRIPTOR.values} | {
    value.number: value.name for value in flow_pb2.LostEventSource.DESCRIPTOR.values
}
_NODE_STATES = {value.number: value.name for value in relay_pb2.NodeState.DESCRIPTOR.values}

_NODE_NAMES_CHARACTERS_MAX = 50
"""Node names are listed up to this length, then counted."""


def response_time(response: observer_pb2.GetFlowsResponse, format_time: Formatter) -> str:
    """Format the time of the response itself."""
    if not response.HasField("time"):
        return UNKNOWN_TIME
    return format_time(response.time.seconds, response.time.nanos)


def loss_source(lost: flow_pb2.LostEvent) -> str:
    """Name the stage that lost the events; a number nobody named is shown as the number."""
    return _LOSS_SOURCES.get(lost.source) or str(lost.source)


def loss_span(lost: flow_pb2.LostEvent, format_time: Formatter) -> str:
    """Say when the first and the last were lost, if the notice knows; starts with a space."""
    if not (lost.HasField("first") and lost.HasField("last")):
        return ""
    first = format_time(lost.first.seconds, lost.first.nanos)
    last = format_time(lost.last.seconds, lost.last.nanos)
    return f" (first: {first}, last: {last})"


def is_trouble(status: relay_pb2.NodeStatusEvent) -> bool:
    """Tell whether a node status change means missing flows, rather than being good to know."""
    return status.state_change in {relay_pb2.NODE_ERROR, relay_pb2.NODE_UNAVAILABLE}


def node_state(status: relay_pb2.NodeStatusEvent) -> str:
    """Name the state that the nodes are in now."""
    return _NODE_STATES.get(status.state_change) or str(status.state_change)


def node_names(status: relay_pb2.NodeStatusEvent) -> str:
    """List the nodes, as many as fit on a line and at least one."""
    names = [visible(name) for name in status.node_names]
    characters = 0
    for shown, name in enumerate(names):
        characters += len(name) + len(", ")
        if characters > _NODE_NAMES_CHARACTERS_MAX and shown:
            return f"{', '.join(names[:shown])} (and {len(names) - shown} more)"
    return ", ".join(names)


def node_message(status: relay_pb2.NodeStatusEvent) -> str:
    """Quote what the node or relay said about it."""
    return quote(status.message)


def node_status_line(
    response: observer_pb2.GetFlowsResponse, format_time: Formatter, *, strict: bool = False
) -> str:
    """Tell a node status change in one line.

    Args:
        response: Holds the change.
        format_time: Formats its time.
        strict: Whether to put a state that has no words as Hubble does, in Go's text form.
    """
    status = response.node_status
    count, names = len(status.node_names), node_names(status)
    happened = {
        relay_pb2.NODE_CONNECTED: f"Receiving flows from {count} nodes: {names}",
        relay_pb2.NODE_UNAVAILABLE: f"{count} nodes are unavailable: {names}",
        relay_pb2.NODE_GONE: f"{count} nodes removed from cluster: {names}",
        relay_pb2.NODE_ERROR: f"Error {node_message(status)} on {count} nodes: {names}",
    }.get(status.state_change)
    if happened is None and strict:
        happened = f"unknown node status event: {_go_text(status)}"
    elif happened is None:
        happened = f"unknown node state {node_state(status)} of {count} nodes: {names}"
    time = response_time(response, format_time)
    return f"{time} [{visible(response.node_name)}]: {happened}\n"


def _go_text(status: relay_pb2.NodeStatusEvent) -> str:
    parts = [f"state_change:{node_state(status)}"] if status.state_change else []
    parts += [f"node_names:{quote(name)}" for name in status.node_names]
    if status.message:
        parts.append(f"message:{quote(status.message)}")
    return " ".join(parts)
