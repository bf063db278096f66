"""From rows to the bytes of observer.GetFlowsResponse messages, for flows that somebody receives.

Most of a flow repeats with every packet of its connection. That part is built as protobuf once,
serialised and kept; a response is then that fragment with the time and uuid put beside it: protobuf
fields may stand in any order.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from palomar_proto.flow import flow_pb2
from palomar_server import __version__
from palomar_server.flow_message import build_flow
from palomar_server.table import FLOW, REPEATING_OFFSET, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.field_mask_pb2 import FieldMask

    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows

FRAGMENTS_MAX = 16_384
"""Fragments kept, about 1 KiB each; when they are full they are all dropped and built anew."""
MASKED_FRAGMENTS_MAX = 1_024
"""The same for each field mask: every stream may bring one of its own."""

_EMITTER_NAME = "palomar"
_NS_PER_S = 1_000_000_000
_LENGTH_DELIMITED = 2
_SEQUENCE_BITS_LOW = 48


def varint(number: int) -> bytes:
    """Encode an unsigned number as protobuf's base-128 varint."""
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(content)) + content


def _tag(number: int) -> bytes:
    return varint(number << 3 | _LENGTH_DELIMITED)


_TAG_TIME = _tag(flow_pb2.Flow.TIME_FIELD_NUMBER)
_TAG_UUID = _tag(flow_pb2.Flow.UUID_FIELD_NUMBER)
_TAG_RESPONSE_FLOW = _tag(1)
_TAG_RESPONSE_LOST = _tag(3)
_TAG_RESPONSE_EVENT = _tag(1)
_NUMBER_RESPONSE_NODE_NAME = 1000
_TAG_RESPONSE_TIME = _tag(1001)


def timestamp(time_ns: int) -> bytes:
    """A serialised google.protobuf.Timestamp with its length in front."""
    seconds, nanos = divmod(time_ns, _NS_PER_S)
    content = b"\x08" + varint(seconds) + (b"\x10" + varint(nanos) if nanos else b"")
    return varint(len(content)) + content


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
        run = secrets.randbits(60) if run_id is None else run_id
        # RFC 9562 version 8: 60 bits of the run, then the variant and 62 bits of sequence.
        run_hex = f"{run:015x}"
        self._uuid_prefix = f"{run_hex[:8]}-{run_hex[8:12]}-8{run_hex[12:15]}-"
        self._whole = ResponseEncoder(self, surroundings, None)
        self._masked: WeakValueDictionary[tuple[str, ...], ResponseEncoder] = WeakValueDictionary()

    def uuid(self, sequence: int) -> str:
        """The uuid of the event with this sequence number."""
        high = 0x8000 | sequence >> _SEQUENCE_BITS_LOW
        low = sequence & (1 << _SEQUENCE_BITS_LOW) - 1
        return f"{self._uuid_prefix}{high:04x}-{low:012x}"

    def repeating(self, row: Any) -> flow_pb2.Flow:
        """The message of one row without `time` and `uuid`."""
        return self._on_this_node(build_flow(row, self._surroundings))

    def with_node(self, content: bytes) -> flow_pb2.Flow:
        """The flow that a message holds, as seen on this node."""
        return self._on_this_node(flow_pb2.Flow.FromString(content))

    def _on_this_node(self, flow: flow_pb2.Flow) -> flow_pb2.Flow:
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
        return _field(_NUMBER_RESPONSE_NODE_NAME, self.node_name.encode())

    def flow(self, row: Any, sequence: int | None = None, *, content: bytes = b"") -> flow_pb2.Flow:
        """The whole message of one row; `uuid` only where the sequence is known.

        Args:
            row: one element of a `FLOW` array.
            sequence: its number in the ring.
            content: its message, if the row's column `message` says that there is one.
        """
        flow = self.with_node(content) if content else self.repeating(row)
        flow.time.FromNanoseconds(int(row["time_ns"]))
        if sequence is not None:
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

        Streams with the same mask share one, and so its fragments.
        """
        if mask is None or not mask.paths:
            return self._whole
        paths = tuple(sorted(set(mask.paths)))
        shared = self._masked.get(paths)
        if shared is None:
            shared = ResponseEncoder(self, self._surroundings, mask)
            self._masked[paths] = shared
        return shared


class ResponseEncoder:
    """Turns rows into GetFlowsResponse bytes. Made by `FlowEncoder.responses`.

    The response's own `time` and `node_name` are always there, whatever the mask says. A mask of a
    part of the flow's `time`, such as `time.seconds`, gives all of it.
    """

    def __init__(
        self,
        encoder: FlowEncoder,
        surroundings: Surroundings,
        mask: FieldMask | None,
    ) -> None:
        self._encoder = encoder
        self._surroundings = surroundings
        self._mask = mask if mask is not None and mask.paths else None
        roots = {path.partition(".")[0] for path in self._mask.paths} if self._mask else set()
        self._with_time = self._mask is None or "time" in roots
        self._with_uuid = self._mask is None or "uuid" in roots
        self._fragments: dict[bytes, bytes] = {}
        self._fragments_max = FRAGMENTS_MAX if self._mask is None else MASKED_FRAGMENTS_MAX
        self._generation = -1
        self._node_field = b""

    def _fragment(self, flow: flow_pb2.Flow) -> bytes:
        if self._mask is not None:
            masked = flow_pb2.Flow()
            self._mask.MergeMessage(flow, masked)
            flow = masked
        return flow.SerializeToString()

    def encode(
        self, rows: Rows, sequences: list[int], message: Callable[[int], bytes]
    ) -> Iterator[tuple[Kind, bytes]]:
        """Encode events one by one.

        Args:
            rows: copied rows, dtype `FLOW`.
            sequences: their sequence numbers.
            message: gives the message of those rows that have one, by sequence.

        Yields:
            Kind and serialised GetFlowsResponse of each row.
        """
        if self._generation != (generation := self._surroundings.generation):
            self._fragments.clear()
            self._node_field = self._encoder.node_field()
            self._generation = generation
        raw = rows.tobytes()
        size = FLOW.itemsize
        times = rows["time_ns"].tolist()
        kinds = rows["kind"].tolist()
        with_message = rows["message"].tolist()
        fragments = self._fragments
        for index, (sequence, time_ns, kind) in enumerate(
            zip(sequences, times, kinds, strict=True)
        ):
            if kind == Kind.LOST:
                yield Kind.LOST, self._encoder.lost_response(message(sequence), time_ns)
                continue
            if with_message[index]:
                fragment = self._fragment(self._encoder.with_node(message(sequence)))
            else:
                key = raw[index * size + REPEATING_OFFSET : (index + 1) * size]
                kept = fragments.get(key)
                if kept is None:
                    if len(fragments) >= self._fragments_max:
                        fragments.clear()
                    kept = fragments[key] = self._fragment(self._encoder.repeating(rows[index]))
                fragment = kept
            stamp = timestamp(time_ns)
            parts = [fragment]
            if self._with_time:
                parts += (_TAG_TIME, stamp)
            if self._with_uuid:
                parts += (_TAG_UUID, b"\x24", self._encoder.uuid(sequence).encode())
            flow = b"".join(parts)
            yield (
                Kind.FLOW,
                b"".join(
                    (
                        _TAG_RESPONSE_FLOW,
                        varint(len(flow)),
                        flow,
                        self._node_field,
                        _TAG_RESPONSE_TIME,
                        stamp,
                    )
                ),
            )
