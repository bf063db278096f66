"""How far the reader of a stream of flows has got, to the single flow.

A batch has one resume token, which is for those who have read all of it. Whoever stops in the
middle says so in its own words behind the token.
"""

import struct
from collections.abc import Iterator
from operator import length_hint
from typing import NamedTuple

from palomar.errors import ServerError
from palomar.overlap import flow_time_ns
from palomar_proto.observer.observer_pb2 import GetFlowsResponse
from palomar_proto.palomar.v1.flow_batches_pb2 import FlowBatch

_RECEIVED = struct.Struct(">QQ")
"""What may be appended to a token: see FlowBatch.resume_token in flow_batches.proto."""


class Position(NamedTuple):
    """Names one event for ever."""

    node_name: str
    """As cluster/node."""
    run_id: int
    """The run of the daemon on this node."""
    sequence: int
    """Counts the events of this run from 0 on, also those that were not asked for."""


class FlowPlace:
    """Where a reader is among the responses of its batches.

    Args:
        token: What the stream resumed, if it did.
    """

    def __init__(self, token: bytes = b"") -> None:
        self._before = token
        self._batch = FlowBatch()
        self._length = 0
        self._position: Position | None = None
        self._last = GetFlowsResponse()
        self._left: Iterator[object] = iter(())

    def enter(self, batch: FlowBatch, responses: Iterator[object]) -> None:
        """Begin with a batch; the one before it has been read.

        Args:
            batch: The batch.
            responses: Something for each of its responses: whoever takes it has read that one. A
                list's iterator, which tells how many are left.

        Raises:
            ServerError: The batch does not say where its responses stand.
        """
        if len(batch.sequences) != len(batch.responses):
            raise ServerError(
                f"the server sent a batch of {len(batch.responses)} responses with "
                f"{len(batch.sequences)} positions; it is broken, or no palomard"
            )
        self._before, self._position = self.token(), self.position()
        if self._length:
            self._last = self._batch.responses[-1]
        self._batch = batch
        self._left = responses
        self._length = len(batch.responses)

    def _read(self) -> int:
        return self._length - length_hint(self._left)

    def token(self) -> bytes:
        """What goes on right behind the last response that was read; empty for the beginning."""
        read = self._read()
        if read == self._length:
            return self._batch.resume_token or self._before
        if not (read and self._batch.resume_token):
            return self._before
        missing = sum(response.HasField("flow") for response in self._batch.responses[read:])
        return self._batch.resume_token + _RECEIVED.pack(self._batch.sequences[read - 1], missing)

    def position(self) -> Position | None:
        """The last response that was read; `None` before the first."""
        read = self._read()
        if not read:
            return self._position
        sequence = self._batch.sequences[read - 1]
        return Position(self._batch.node_name, self._batch.run_id, sequence)

    def last_ns(self) -> int:
        """Time of the last response that was read, UTC ns; 0 where it is not known."""
        read = self._read()
        return flow_time_ns(self._batch.responses[read - 1] if read else self._last)
