"""Serialised Ethernet and IP headers of plain packets, without protobuf's own objects.

What is new to an encoder is mostly pairs of addresses, and nearly all packets are plain: in no
tunnel, and between addresses that nobody knows by a name. Those are written here in a quarter of
the time; of all others `flow_message.set_network` takes care.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.address import format_address
from palomar_server.protobuf_bytes import field, tag, varint
from palomar_server.table import Flag

if TYPE_CHECKING:
    from palomar_server.surroundings import Surroundings

_ETHERNET, _IP = int(Flag.ETHERNET), int(Flag.IP)
_ENCRYPTED, _XLATED = int(Flag.ENCRYPTED), int(Flag.XLATED)
_TRACE_SOCK = int(MessageType.TRACE_SOCK)
_TAG_VERSION = varint(flow_pb2.IP.IPVERSION_FIELD_NUMBER << 3)
_IS_ENCRYPTED = varint(flow_pb2.IP.ENCRYPTED_FIELD_NUMBER << 3) + b"\x01"
_TAG_IP = tag(flow_pb2.Flow.IP_FIELD_NUMBER)


def plain_network(fields: Any, surroundings: Surroundings) -> bytes | None:
    """The fields `ethernet` and `IP` of a flow, serialised; None if there is more to say.

    Args:
        fields: the columns of its row, as attributes.
        surroundings: knows the names of addresses.
    """
    if fields.tunnel_protocol or fields.event_type == _TRACE_SOCK:
        return None
    flags = fields.flags
    ethernet = (
        _ethernet(bytes(fields.source_mac), bytes(fields.destination_mac))
        if flags & _ETHERNET
        else b""
    )
    if not flags & _IP:
        return ethernet
    source = (fields.source_hi, fields.source_lo)
    destination = (fields.destination_hi, fields.destination_lo)
    names, endpoint = surroundings.names, surroundings.endpoints.endpoint
    if names.names and (
        names.dns(endpoint(fields.destination_endpoint).id, source)
        or names.dns(endpoint(fields.source_endpoint).id, destination)
    ):
        return None
    version = fields.ip_version
    content = b"".join(
        (
            _address(flow_pb2.IP.SOURCE_FIELD_NUMBER, source),
            _address(flow_pb2.IP.DESTINATION_FIELD_NUMBER, destination),
            _TAG_VERSION + varint(version) if version else b"",
            _IS_ENCRYPTED if flags & _ENCRYPTED else b"",
            _address(
                flow_pb2.IP.SOURCE_XLATED_FIELD_NUMBER,
                (fields.source_xlated_hi, fields.source_xlated_lo),
            )
            if flags & _XLATED
            else b"",
        )
    )
    return ethernet + _TAG_IP + varint(len(content)) + content


@lru_cache(maxsize=65_536)
def _address(number: int, address: tuple[int, int]) -> bytes:
    return field(number, format_address(*address).encode())


@lru_cache(maxsize=16_384)
def _ethernet(source: bytes, destination: bytes) -> bytes:
    return field(
        flow_pb2.Flow.ETHERNET_FIELD_NUMBER,
        field(flow_pb2.Ethernet.SOURCE_FIELD_NUMBER, source.hex(":").encode())
        + field(flow_pb2.Ethernet.DESTINATION_FIELD_NUMBER, destination.hex(":").encode()),
    )
