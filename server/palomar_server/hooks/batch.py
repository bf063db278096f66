"""Events as hooks see them: columns at once, protobuf where a hook asks for it.

In: rows from the decoder, or a portion of a stream. Out: the same rows reduced by masks. The
pipeline and the observer make batches, chains reduce them, hooks read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_server.table import Kind, take

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from palomar_proto.observer import observer_pb2
    from palomar_server.peer import Peer
    from palomar_server.table import Mask, Rows
    from palomar_server.view import FlowSource


class FlowBatch:
    """Decoded events on their way through the chains.

    Args:
        rows: dtype `FLOW`.
        encoder: turns rows into protobuf flows where a hook wants them.
        messages: what the rows' column `message` counts.
    """

    __slots__ = ("_flows", "_number", "encoder", "messages", "rows")

    def __init__(self, rows: Rows, encoder: FlowSource, messages: Sequence[bytes] = ()) -> None:
        self.rows = rows
        """Dtype `FLOW`; a hook may change columns in place, see `forget_flows`."""
        self.encoder = encoder
        self.messages = messages
        self._number: Sequence[int] = range(len(rows))
        self._flows: dict[int, flow_pb2.Flow] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def flow(self, index: int) -> flow_pb2.Flow:
        """The protobuf message of one row: some 40 µs, so only for rows that matter.

        It is built once and shared with the hooks behind: not to be changed. Rows that are no
        flows, which OnDecodedFlow never sees, have none: theirs is empty.
        """
        number = self._number[index]
        flow = self._flows.get(number)
        if flow is None:
            flow = self._flows[number] = self._build(index)
        return flow

    def _build(self, index: int) -> flow_pb2.Flow:
        row = self.rows[index]
        content = self.content(index)
        if row["kind"] != Kind.FLOW or (row["message"] and not content):
            return flow_pb2.Flow()
        return self.encoder.flow(row, self._sequence(index), content=content)

    def _sequence(self, _index: int) -> int | None:
        """The number in the ring, which events get only when they are through."""
        return None

    def content(self, index: int) -> bytes:
        """The serialised message of a row that has one (see `FLOW`), else nothing."""
        number = int(self.rows["message"][index])
        return self.messages[number - 1] if number else b""

    def forget_flows(self) -> None:
        """Have flows built anew: for a hook that changed columns in place."""
        self._flows.clear()

    def take(self, mask: Mask) -> FlowBatch:
        """Some of the rows, copied; flows that were built are shared."""
        chosen = FlowBatch(take(self.rows, mask), self.encoder, self.messages)
        chosen._share(self, mask)
        return chosen

    def _share(self, whole: FlowBatch, mask: Mask) -> None:
        self._flows = whole._flows
        self._number = [whole._number[index] for index in mask.nonzero()[0].tolist()]


@dataclass(frozen=True, eq=False)
class FlowStream:
    """One call of GetFlows or GetFlowBatches: the same object for all that is sent to it.

    Compared by identity, and may be referred to weakly: a hook can keep what it knows of a stream
    in a `weakref.WeakKeyDictionary`.
    """

    request: observer_pb2.GetFlowsRequest
    """As served, after OnGetFlows; not to be changed."""
    peer: Peer
    """Who asked."""


class DeliveryBatch(FlowBatch):
    """Events that one stream selected and is about to get, numbered as in the ring.

    Args:
        rows: dtype `FLOW`; other streams may be given the same, so they are not to be changed.
        encoder: turns rows into protobuf flows where a hook wants them.
        contents: messages of the rows that have one, by sequence.
        sequences: number of each row in the ring.
        stream: who gets them, and what was asked for.
    """

    __slots__ = ("contents", "sequences", "stream")

    def __init__(
        self,
        rows: Rows,
        encoder: FlowSource,
        contents: Mapping[int, bytes],
        sequences: Sequence[int],
        stream: FlowStream,
    ) -> None:
        super().__init__(rows, encoder)
        self.contents = contents
        self.sequences = sequences
        self.stream = stream

    def content(self, index: int) -> bytes:
        """The serialised message of a row that has one, else nothing."""
        return self.contents.get(self.sequences[index], b"")

    def _sequence(self, index: int) -> int | None:
        return self.sequences[index]

    def take(self, mask: Mask) -> DeliveryBatch:
        """Some of the rows with their sequences, copied."""
        kept = [self.sequences[index] for index in mask.nonzero()[0].tolist()]
        chosen = DeliveryBatch(
            take(self.rows, mask), self.encoder, self.contents, kept, self.stream
        )
        chosen._share(self, mask)
        return chosen
