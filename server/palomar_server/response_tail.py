"""What differs between the responses of one connection, for many rows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.protobuf_bytes import VARINT_BYTES, seconds_and_nanos, tag, varint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.flow_mask import FlowMask

    _Bytes = NDArray[np.uint8]

_TAG_TIME = tag(flow_pb2.Flow.TIME_FIELD_NUMBER)
_TAG_RESPONSE_TIME = tag(1001)
_FIELD_BYTES = 1 + VARINT_BYTES
_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint8).reshape(
    256, 2
)
_UUID_VARIANT = np.uint64(1 << 63)
_UUID_GROUP = 4
"""Digits of a uuid's fourth group, the first that tells events of one run apart."""


class ResponseTail:
    """The last bytes of responses: node, time and uuid of the flow, node and time of the response.

    They have the same length in every row.

    Args:
        uuid_prefix: what all uuids begin with, up to the sequence.
        node: the serialised fields of a flow that are the same for the whole node.
        node_field: the response's field that names the node.
        mask: which of the flow's own are wanted; None is both.
    """

    def __init__(
        self, uuid_prefix: str, node: bytes, node_field: bytes, mask: FlowMask | None
    ) -> None:
        self._seconds = mask is None or mask.wants("time.seconds")
        self._nanos = mask is None or mask.wants("time.nanos")
        self._has_time = self._seconds or self._nanos
        self._has_uuid = mask is None or mask.wants("uuid")
        before_uuid = b""
        digits = 2 * 8 + 1
        if self._has_uuid:
            length = varint(len(uuid_prefix) + digits)
            before_uuid = tag(flow_pb2.Flow.UUID_FIELD_NUMBER) + length + uuid_prefix.encode()
        time_bytes = _FIELD_BYTES * (self._seconds + self._nanos)
        before_time = node + (_TAG_TIME + varint(time_bytes) if self._has_time else b"")
        before_response_time = node_field + _TAG_RESPONSE_TIME + varint(2 * _FIELD_BYTES)
        uuid_bytes = len(before_uuid) + digits if self._has_uuid else 0
        self.flow_bytes = len(before_time) + time_bytes + uuid_bytes
        """How many of the bytes belong to the flow; the others are the response's."""
        self._template = b"".join(
            (
                before_time,
                bytes(time_bytes),
                before_uuid,
                bytes(digits if self._has_uuid else 0),
                before_response_time,
                bytes(2 * _FIELD_BYTES),
            )
        )
        self.bytes = len(self._template)
        """How many there are in all."""
        self._time_at = len(before_time)
        self._digits_at = self.flow_bytes - digits

    def of(self, times_ns: NDArray[np.uint64], sequences: list[int]) -> list[bytes]:
        """The tails of rows.

        Args:
            times_ns: shape (n,).
            sequences: as many.
        """
        tails = np.empty((len(sequences), len(self._template)), np.uint8)
        tails[:] = np.frombuffer(self._template, np.uint8)
        seconds, nanos = seconds_and_nanos(times_ns)
        tails[:, -2 * _FIELD_BYTES : -_FIELD_BYTES] = seconds
        tails[:, -_FIELD_BYTES:] = nanos
        at = self._time_at
        if self._seconds:
            tails[:, at : at + _FIELD_BYTES] = seconds
            at += _FIELD_BYTES
        if self._nanos:
            tails[:, at : at + _FIELD_BYTES] = nanos
        if self._has_uuid:
            digits = _digits(np.array(sequences, np.uint64))
            at = self._digits_at
            tails[:, at : at + _UUID_GROUP] = digits[:, :_UUID_GROUP]
            tails[:, at + _UUID_GROUP] = ord("-")
            tails[:, at + _UUID_GROUP + 1 : self.flow_bytes] = digits[:, _UUID_GROUP:]
        whole: list[bytes] = tails.view((np.void, tails.shape[1]))[:, 0].tolist()
        return whole


def _digits(sequences: NDArray[np.uint64]) -> _Bytes:
    """Hexadecimal digits of the uuids' last 64 bits, shape (n, 16)."""
    octets = (sequences | _UUID_VARIANT).astype(">u8").view(np.uint8)
    return _HEX[octets].reshape(len(sequences), 16)
