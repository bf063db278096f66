"""From rows to the bytes of observer.GetFlowsResponse messages, for flows that somebody receives.

A flow's parts are kept (`flow_parts`). A response is these with what differs behind them, time and
uuid, for protobuf fields may stand in any order; and what differs has the same length in every
response, so that it is made for all rows of a portion at once (`response_tail`).
"""

from __future__ import annotations

import operator
import secrets
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from weakref import WeakValueDictionary

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import flow_batches_pb2
from palomar_server import __version__
from palomar_server.flow_mask import FlowMask
from palomar_server.flow_message import build_flow
from palomar_server.flow_parts import PARTS, FlowParts
from palomar_server.protobuf_bytes import field, tag, timestamp, varint
from palomar_server.response_tail import ResponseTail
from palomar_server.table import FLOW, REPEATING_OFFSET, Kind, take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.field_mask_pb2 import FieldMask

    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows

PIECES_MAX = 65_536
"""Rows of which is known what they are made of, some 400 bytes each: a ring's, so that whoever asks
for all of it again gets it four times as fast. When they are full they are all forgotten."""
MASKS_KEPT_MAX = 32
"""Field masks for which anything is kept, some 2 MiB each: those of a few programs. Whoever comes
with yet another one is served all the same, more slowly."""
MASKED_PIECES_MAX = 1_024
"""The same for each field mask: every stream may bring one of its own."""
SAME_FIELDS = frozenset(flow_pb2.Flow.DESCRIPTOR.fields_by_name) - {"time", "uuid"}.union(
    *(part.fields for part in PARTS)
)
"""What is the same in all flows that are made of rows: what tells of the node, and what no row has,
where a mask may still want the messages on the way."""

_EMITTER_NAME = "palomar"
_SEQUENCE_BITS_LOW = 48
_TAG_RESPONSE_FLOW = tag(1)
_TAG_RESPONSE_LOST = tag(3)
_TAG_RESPONSE_EVENT = tag(1)
_NUMBER_BATCH_RESPONSES = flow_batches_pb2.FlowBatch.RESPONSES_FIELD_NUMBER
_TAG_BATCH_RESPONSES = tag(_NUMBER_BATCH_RESPONSES)
_NUMBER_RESPONSE_NODE_NAME = 1000
_NUMBER_RESPONSE_TIME = 1001
_TAG_RESPONSE_TIME = tag(_NUMBER_RESPONSE_TIME)


_REPEATING = np.dtype(
    {
        "names": ["repeating"],
        "formats": [(np.void, FLOW.itemsize - REPEATING_OFFSET)],
        "offsets": [REPEATING_OFFSET],
        "itemsize": FLOW.itemsize,
    }
)
"""A row as one opaque column: all that repeats within its connection."""

_Pieces: TypeAlias = tuple[bytes, ...]


class FlowEncoder:
    """Builds flow messages and response bytes.

    Args:
        surroundings: the tables that rows point into.
        node_name: as cluster/node, where the source does not say which node its payloads are from.
        node_labels: labels of this node.
        run_id: 60 random bits that tell this run's uuids from others'.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        node_name: str,
        node_labels: tuple[str, ...] = (),
        run_id: int | None = None,
    ) -> None:
        self._surroundings = surroundings
        self._node_name = node_name
        self._node_labels = node_labels
        self.run_id = run = secrets.randbits(60) if run_id is None else run_id
        # RFC 9562 version 8: 60 bits of the run, then the variant and 62 bits of sequence.
        run_hex = f"{run:015x}"
        self.uuid_prefix = f"{run_hex[:8]}-{run_hex[8:12]}-8{run_hex[12:15]}-"
        """What the uuids of all events of this run begin with, up to the sequence."""
        self._whole = ResponseEncoder(self, surroundings, None)
        self._masked: WeakValueDictionary[tuple[str, ...], ResponseEncoder] = WeakValueDictionary()

    def uuid(self, sequence: int) -> str:
        """The uuid of the event with this sequence number."""
        high = 0x8000 | sequence >> _SEQUENCE_BITS_LOW
        low = sequence & (1 << _SEQUENCE_BITS_LOW) - 1
        return f"{self.uuid_prefix}{high:04x}-{low:012x}"

    def repeating(self, row: Any) -> flow_pb2.Flow:
        """The message of one row without `time` and `uuid`."""
        return self.on_this_node(build_flow(row, self._surroundings))

    def with_node(self, content: bytes) -> flow_pb2.Flow:
        """The flow that a message holds; as seen on this node, unless it says on which."""
        flow = flow_pb2.Flow.FromString(content)
        return flow if flow.node_name else self.on_this_node(flow)

    def on_this_node(self, flow: flow_pb2.Flow) -> flow_pb2.Flow:
        """Set the fields of a flow that tell of this node, and return it."""
        flow.node_name = self.node_name
        flow.node_labels.extend(self._node_labels)
        flow.emitter.name = _EMITTER_NAME
        flow.emitter.version = __version__
        return flow

    @property
    def node_name(self) -> str:
        """The node that flows are from, as cluster/node."""
        return self._surroundings.node_name or self._node_name

    def node_field(self) -> bytes:
        """The node's name as a field of a response."""
        return field(_NUMBER_RESPONSE_NODE_NAME, self.node_name.encode())

    def flow(self, row: Any, sequence: int | None = None, *, content: bytes = b"") -> flow_pb2.Flow:
        """The whole message of one row; `uuid` only where the sequence is known.

        A flow that comes as a message may have a time and uuid of its own, and keeps them.

        Args:
            row: one element of a `FLOW` array.
            sequence: its number in the ring.
            content: its message, if the row's column `message` says that there is one.
        """
        flow = self.with_node(content) if content else self.repeating(row)
        if not flow.HasField("time"):
            flow.time.FromNanoseconds(int(row["time_ns"]))
        if sequence is not None and not flow.uuid:
            flow.uuid = self.uuid(sequence)
        return flow

    def lost_response(self, lost: bytes, time_ns: int) -> bytes:
        """A GetFlowsResponse around a serialised flow.LostEvent."""
        return self._response(_TAG_RESPONSE_LOST, lost, time_ns)

    def event_response(self, event: bytes, time_ns: int) -> bytes:
        """A GetAgentEventsResponse around a serialised flow.AgentEvent.

        Or a GetDebugEventsResponse around a flow.DebugEvent: their fields have the same numbers.
        """
        return self._response(_TAG_RESPONSE_EVENT, event, time_ns)

    def _response(self, tag: bytes, content: bytes, time_ns: int) -> bytes:
        return b"".join(
            (
                tag,
                varint(len(content)),
                content,
                self.node_field(),
                _TAG_RESPONSE_TIME,
                timestamp(time_ns),
            )
        )

    def responses(self, mask: FieldMask | None = None) -> ResponseEncoder:
        """An encoder of responses, with only the fields of `mask` in their flows.

        Streams with the same mask share one, and so the parts it keeps.
        """
        if mask is None or not mask.paths:
            return self._whole
        wanted = FlowMask(mask)
        shared = self._masked.get(wanted.paths)
        if shared is None:
            is_one_of_few = len(self._masked) < MASKS_KEPT_MAX
            shared = ResponseEncoder(self, self._surroundings, wanted, keeps=is_one_of_few)
            self._masked[wanted.paths] = shared
        return shared


class ResponseEncoder:
    """Turns rows into GetFlowsResponse bytes. Made by `FlowEncoder.responses`.

    The response's own `time` and `node_name` are always there, whatever the mask says.
    """

    def __init__(
        self,
        encoder: FlowEncoder,
        surroundings: Surroundings,
        mask: FlowMask | None,
        *,
        keeps: bool = True,
    ) -> None:
        self._encoder = encoder
        self._surroundings = surroundings
        self._mask = mask
        self._keeps = keeps
        self._pieces_max = PIECES_MAX if mask is None else MASKED_PIECES_MAX if keeps else 0
        self._generation = -1
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Forget what was made of rows: they mean something else now."""
        encoder, mask = self._encoder, self._mask
        self._parts = FlowParts(self._surroundings, mask, keeps=self._keeps)
        node = encoder.on_this_node(flow_pb2.Flow())
        if mask is not None:
            node = mask.among(SAME_FIELDS).of(node)
        self._tail = ResponseTail(
            encoder.uuid_prefix, node.SerializeToString(), encoder.node_field(), mask
        )
        self._pieces = {
            wrapped: _Kept(self._tail.flow_bytes, self._tail.bytes, wrapped=wrapped)
            for wrapped in (False, True)
        }

    def encode_batch(
        self,
        rows: Rows,
        sequences: list[int],
        messages: Mapping[int, bytes],
        *,
        wrapped: bool = False,
    ) -> list[bytes]:
        """Serialised GetFlowsResponse messages, one for each row.

        Args:
            rows: copied rows, dtype `FLOW`: flows and loss notices.
            sequences: their sequence numbers.
            messages: those of the rows that have one, by sequence.
            wrapped: whether each is to be one of a FlowBatch's `responses`, with tag and length.
        """
        if self._generation != (generation := self._surroundings.generation):
            self._begin_anew()
            self._generation = generation
        if not np.count_nonzero(rows["message"]):
            return self._from_columns(rows, sequences, wrapped=wrapped)
        with_message = rows["message"] != 0
        plain = (~with_message).nonzero()[0]
        responses = [b""] * len(rows)
        numbers = np.array(sequences, np.int64)
        columns = self._from_columns(take(rows, plain), numbers[plain].tolist(), wrapped=wrapped)
        for index, response in zip(plain.tolist(), columns, strict=True):
            responses[index] = response
        for index in with_message.nonzero()[0].tolist():
            sequence = sequences[index]
            response = self._from_message(rows[index], sequence, messages[sequence])
            responses[index] = field(_NUMBER_BATCH_RESPONSES, response) if wrapped else response
        return responses

    def _from_columns(self, rows: Rows, sequences: list[int], *, wrapped: bool) -> list[bytes]:
        if not sequences:
            return []
        # Loops in C: a line of Python for each flow would cost more than all the rest.
        keys: list[bytes] = rows.view(_REPEATING)["repeating"].tolist()
        kept = self._pieces[wrapped]
        found = list(map(kept.get, keys))
        if None in found:
            new = [index for index, pieces in enumerate(found) if pieces is None]
            made = self._make(kept, [keys[index] for index in new], take(rows, np.array(new)))
            for index, pieces in zip(new, made, strict=True):
                found[index] = pieces
        tails = self._tail.of(rows["time_ns"], sequences)
        return list(map(operator.add, map(b"".join, cast("list[_Pieces]", found)), tails))

    def _make(self, kept: _Kept, keys: list[bytes], rows: Rows) -> list[_Pieces]:
        """Make the pieces of some rows, and keep them: those of others only if there is room."""
        made = [(kept.head(sum(map(len, parts))), *parts) for parts in self._parts.of(rows)]
        if len(kept) + len(keys) > self._pieces_max:
            kept.clear()
        kept.update(islice(zip(keys, made, strict=True), self._pieces_max))
        return made

    def _from_message(self, row: Any, sequence: int, message: bytes) -> bytes:
        time_ns = int(row["time_ns"])
        if row["kind"] == Kind.LOST:
            return self._encoder.lost_response(message, time_ns)
        flow = self._encoder.flow(row, sequence, content=message)
        node_field = field(_NUMBER_RESPONSE_NODE_NAME, flow.node_name.encode())
        time_field = field(_NUMBER_RESPONSE_TIME, flow.time.SerializeToString())
        content = (self._mask.of(flow) if self._mask is not None else flow).SerializeToString()
        return b"".join((_TAG_RESPONSE_FLOW, varint(len(content)), content, node_field, time_field))


class _Kept(dict[bytes, _Pieces]):
    """By the part of a row that repeats, what a response has in front of its tail.

    Args:
        flow_bytes: of the flow behind its parts.
        tail_bytes: of the response behind them.
        wrapped: whether the response is one of a batch.
    """

    def __init__(self, flow_bytes: int, tail_bytes: int, *, wrapped: bool) -> None:
        super().__init__()
        self._flow_bytes = flow_bytes
        self._tail_bytes = tail_bytes
        self._wrapped = wrapped
        self._heads: dict[int, bytes] = {}

    def head(self, length: int) -> bytes:
        """What the response begins with, by the length of what its flow's parts take."""
        head = self._heads.get(length)
        if head is None:
            head = _TAG_RESPONSE_FLOW + varint(length + self._flow_bytes)
            if self._wrapped:
                head = _TAG_BATCH_RESPONSES + varint(len(head) + length + self._tail_bytes) + head
            self._heads[length] = head
        return head
