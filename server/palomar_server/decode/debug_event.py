"""Debug messages of Cilium's datapath: a fixed head with three arguments, and a text for each kind.

Layout: type u8, subtype u8, source endpoint u16, hash u32, three arguments u32, in native byte
order (bpf/lib/dbg.h of Cilium); what follows is padding of the perf ring.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from palomar_proto.flow import flow_pb2
from palomar_server.decode.debug_message import debug_message
from palomar_server.decode.malformed import Malformed
from palomar_server.endpoint_message import endpoint_message
from palomar_server.table import Kind

if TYPE_CHECKING:
    from palomar_server.surroundings import Surroundings

_HEAD = struct.Struct("=BBHIIII")


def decode_debug_event(
    payload: bytes, cpu: int, row: Any, surroundings: Surroundings
) -> tuple[Malformed, bytes]:
    """Decode one debug message.

    Args:
        payload: the message.
        cpu: where it was written.
        row: its row of the flow table, to fill.
        surroundings: knows the endpoint that it names.

    Returns:
        What is wrong with it, and a serialised flow.DebugEvent.
    """
    if len(payload) < _HEAD.size:
        return Malformed.HEAD_TOO_SHORT, b""
    event_type, subtype, source, packet_hash, *arguments = _HEAD.unpack_from(payload)
    event = flow_pb2.DebugEvent(
        # An open enumeration: subtypes of later releases keep their number.
        type=flow_pb2.DebugEventType.ValueType(subtype),
        message=debug_message(subtype, *arguments),
    )
    event.hash.value = packet_hash
    for wrapper, argument in zip((event.arg1, event.arg2, event.arg3), arguments, strict=True):
        wrapper.value = argument
    # Zero is a value too: setting it is what makes a wrapper present.
    event.cpu.value = cpu
    if source:
        event.source.CopyFrom(_source(source, surroundings))
    row["kind"] = int(Kind.DEBUG)
    row["event_type"] = event_type
    row["event_subtype"] = subtype
    row["local_endpoint_id"] = source
    return Malformed.NONE, event.SerializeToString()


def _source(endpoint_id: int, surroundings: Surroundings) -> flow_pb2.Endpoint:
    """The local endpoint as debug events show it: without workloads."""
    endpoints = surroundings.endpoints
    row = endpoints.row_of_id(endpoint_id)
    message = endpoint_message(surroundings, row, int(endpoints.identities[row]))
    message.ID = endpoint_id
    message.ClearField("workloads")
    return message
