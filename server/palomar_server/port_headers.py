"""Serialised transport headers with ports: nearly every flow has one, and hardly two are equal.

`Flow.l4` of TCP, UDP and SCTP packets is put together from their ports and all the rest, of which
there are a few kinds; without protobuf's own objects, which would take ten times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.flow_summary import TCP_FLAGS
from palomar_server.protobuf_bytes import field, tag, varint
from palomar_server.table import Flag, Protocol

if TYPE_CHECKING:
    from palomar_server.table import Mask, Rows

KEPT_MAX = 65_536
"""Headers kept, some 200 bytes each with their keys; beyond it all are dropped, for it takes but a
microsecond to make one."""

_PORTS_BYTES_MAX = 8
_HAS_PORTS = np.zeros(256, np.bool_)
_HAS_PORTS[[Protocol.TCP, Protocol.UDP, Protocol.SCTP]] = True
_L4_FLAG = np.uint8(Flag.L4)
_TRACE_SOCK = np.uint8(MessageType.TRACE_SOCK)
_TAG_L4 = tag(flow_pb2.Flow.L4_FIELD_NUMBER)
_HEADERS = {
    Protocol.TCP: flow_pb2.Layer4.TCP_FIELD_NUMBER,
    Protocol.UDP: flow_pb2.Layer4.UDP_FIELD_NUMBER,
    Protocol.SCTP: flow_pb2.Layer4.SCTP_FIELD_NUMBER,
}
_SOURCE, _DESTINATION = (
    varint(number << 3)
    for number in (
        flow_pb2.TCP.SOURCE_PORT_FIELD_NUMBER,
        flow_pb2.TCP.DESTINATION_PORT_FIELD_NUMBER,
    )
)
"""Keys of the two fields, which have the same numbers in all three headers."""
_KEY = np.dtype(
    [
        ("source_port", "u2"),
        ("destination_port", "u2"),
        # Of TCP; the column is 0 elsewhere.
        ("tcp_flags", "u2"),
        ("protocol", "u1"),
    ]
)
"""All that such a header is made of."""


class PortHeaders:
    """Makes the field `l4` of rows whose packet has ports."""

    def __init__(self) -> None:
        self._kept: dict[bytes, bytes] = {}
        self._kinds: dict[tuple[int, int], _Kind] = {}

    @staticmethod
    def has(rows: Rows) -> Mask:
        """Which rows have such a header, shape (n,); socket events have ports, but no packet."""
        mask: Mask = _HAS_PORTS[rows["protocol"]]
        mask &= rows["flags"] & _L4_FLAG != 0
        mask &= rows["event_type"] != _TRACE_SOCK
        return mask

    def of(self, rows: Rows) -> list[bytes]:
        """The field of each row, serialised with its tag; all have such a header."""
        packed = np.empty(len(rows), _KEY)
        for name in _KEY.names or ():
            packed[name] = rows[name]
        keys = cast("list[bytes]", packed.view((np.void, _KEY.itemsize)).tolist())
        found = list(map(self._kept.get, keys))
        if None not in found:
            return cast("list[bytes]", found)
        return [
            self._make(key, *packed[index].item()) if kept is None else kept
            for index, (key, kept) in enumerate(zip(keys, found, strict=True))
        ]

    def _make(self, key: bytes, source: int, destination: int, flags: int, protocol: int) -> bytes:
        kind = self._kinds.get((protocol, flags))
        if kind is None:
            kind = self._kinds[protocol, flags] = _Kind(protocol, flags)
        ports = (_SOURCE + varint(source) if source else b"") + (
            _DESTINATION + varint(destination) if destination else b""
        )
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        made = self._kept[key] = kind.heads[len(ports)] + ports + kind.rest
        return made


class _Kind:
    """What headers of one protocol and set of flags have in common.

    Args:
        protocol: IANA number.
        flags: of TCP.
    """

    __slots__ = ("heads", "rest")

    def __init__(self, protocol: int, flags: int) -> None:
        self.rest = b""
        if protocol == Protocol.TCP:
            told = flow_pb2.TCPFlags(**{name: bool(flags & bit) for name, bit in TCP_FLAGS})
            self.rest = field(flow_pb2.TCP.FLAGS_FIELD_NUMBER, told.SerializeToString())
        number = _HEADERS[Protocol(protocol)]
        self.heads = [
            self._head(number, length + len(self.rest)) for length in range(_PORTS_BYTES_MAX + 1)
        ]
        """What stands in front of the ports, by how many bytes these take."""

    @staticmethod
    def _head(number: int, length: int) -> bytes:
        header = tag(number) + varint(length)
        return _TAG_L4 + varint(len(header) + length) + header
