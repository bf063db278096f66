"""Payloads, batches and rows made from plain values, for tests of palomar and of its users' hooks.

`Core` is the server without sources and sockets: batches in, ring and responses out. `FakeSource`
is a source that gives what a test puts into it.
"""

from __future__ import annotations

import ipaddress
import queue
import struct
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.batch import Loss, PayloadBatch
from palomar_bpf.payload import (
    DROP_HEAD,
    DROP_SUBTYPE_KERNEL,
    EXT_VERSION,
    EXTENSION,
    TRACE_HEAD,
    MessageType,
    ObservationPoint,
    TraceReason,
)
from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.hooks import Hooks
from palomar_server.pipeline import Pipeline
from palomar_server.ring import Ring
from palomar_server.surroundings import Surroundings
from palomar_server.table import FLOW, Flag, Kind, Protocol
from palomar_server.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from palomar_server.source import SourceItem
    from palomar_server.table import Rows

START_NS = 1_700_000_000_000_000_000
"""When batches and rows made here happen, UTC: 2023-11-14T22:13:20Z."""

SYN, ACK, RST, FIN, PSH = 0x02, 0x10, 0x04, 0x01, 0x08


def transport(
    protocol: int = Protocol.TCP,
    source_port: int = 40_000,
    destination_port: int = 80,
    *,
    tcp_flags: int = SYN,
    icmp_type: int = 8,
    icmp_code: int = 0,
) -> bytes:
    """A transport header without payload."""
    if protocol == Protocol.TCP:
        return struct.pack(
            ">HHIIHHHH", source_port, destination_port, 1, 0, 5 << 12 | tcp_flags, 64, 0, 0
        )
    if protocol == Protocol.UDP:
        return struct.pack(">HHHH", source_port, destination_port, 8, 0)
    if protocol == Protocol.SCTP:
        return struct.pack(">HHII", source_port, destination_port, 0, 0)
    if protocol == Protocol.VRRP:
        # Version 2, an advertisement of one address (RFC 3768).
        return struct.pack(">BBBBBBHII", 0x21, 7, 100, 1, 0, 1, 0, 0xC000_0201, 0)
    return struct.pack(">BBHI", icmp_type, icmp_code, 0, 0)


def packet(
    source: str = "192.0.2.1",
    destination: str = "192.0.2.2",
    protocol: int = Protocol.TCP,
    body: bytes | None = None,
    *,
    ethernet: bool = True,
) -> bytes:
    """An IPv4 or IPv6 packet, by the family of the addresses, behind an Ethernet header."""
    body = transport(protocol) if body is None else body
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    if ":" in source:
        header = struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + ends
        ethertype = b"\x86\xdd"
    else:
        header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + ends
        ethertype = b"\x08\x00"
    frame = bytes.fromhex("020000000002020000000001") + ethertype if ethernet else b""
    return frame + header + body


def _extension(**fields: int | bytes) -> bytes:
    extension = np.zeros(1, EXTENSION)
    for name, value in fields.items():
        extension[name] = value
    return extension.tobytes()


def _head(dtype: np.dtype[np.void], content: bytes, **fields: int) -> bytes:
    head = np.zeros(1, dtype)
    head["len_orig"] = head["len_cap"] = len(content)
    for name, value in fields.items():
        head[name] = value
    return head.tobytes()


def trace_payload(
    content: bytes,
    *,
    point: int = ObservationPoint.TO_ENDPOINT,
    reason: int = TraceReason.NEW,
    source: int = 0,
    ifindex: int = 0,
    extension: dict[str, int | bytes] | None = None,
    **fields: int,
) -> bytes:
    """A trace message, with palomar's extension block where `extension` is given."""
    head = _head(
        TRACE_HEAD,
        content,
        type=MessageType.TRACE,
        subtype=point,
        reason=reason,
        source=source,
        ifindex=ifindex,
        ext_version=0 if extension is None else EXT_VERSION,
        **fields,
    )
    return head + (b"" if extension is None else _extension(**extension)) + content


def drop_payload(
    content: bytes,
    *,
    subtype: int = DROP_SUBTYPE_KERNEL,
    source: int = 0,
    ifindex: int = 0,
    extension: dict[str, int | bytes] | None = None,
    **fields: int,
) -> bytes:
    """A drop message, with palomar's extension block where `extension` is given."""
    head = _head(
        DROP_HEAD,
        content,
        type=MessageType.DROP,
        subtype=subtype,
        source=source,
        ifindex=ifindex,
        version=2,
        ext_version=0 if extension is None else EXT_VERSION,
        **fields,
    )
    return head + (b"" if extension is None else _extension(**extension)) + content


def batch_of(
    payloads: Sequence[bytes],
    *,
    received_ns: int = START_NS,
    losses: tuple[Loss, ...] = (),
) -> PayloadBatch:
    """A batch of payloads, all from CPU 0."""
    lengths = np.array([len(payload) for payload in payloads], np.int64)
    return PayloadBatch(
        np.frombuffer(b"".join(payloads), np.uint8),
        np.cumsum(lengths) - lengths,
        lengths,
        np.zeros(len(payloads), np.uint16),
        received_ns,
        losses,
    )


def flow_rows(count: int = 1, **columns: object) -> Rows:
    """Rows of forwarded TCP packets, one second apart from `START_NS` on.

    Args:
        count: how many.
        columns: values of columns of `FLOW`, each one value or one for every row.
    """
    rows = np.zeros(count, FLOW)
    rows["time_ns"] = START_NS + np.arange(count, dtype=np.uint64) * np.uint64(1_000_000_000)
    rows["packets"] = 1
    rows["event_type"] = MessageType.TRACE
    rows["verdict"] = flow_pb2.FORWARDED
    rows["flags"] = Flag.IP | Flag.L4 | Flag.PACKET
    rows["ip_version"] = flow_pb2.IPv4
    rows["protocol"] = Protocol.TCP
    rows["is_reply"] = -1
    for name, value in columns.items():
        rows[name] = value
    return rows


def lost_row(time_ns: int = START_NS, message: int = 1) -> Rows:
    """A row that stands for a loss notice; its message goes into the ring beside it."""
    return event_row(Kind.LOST, time_ns, message)


def event_row(kind: Kind, time_ns: int = START_NS, message: int = 1) -> Rows:
    """A row that stands for an event that is no flow.

    Args:
        kind: which kind.
        time_ns: when, UTC ns.
        message: one more than the index of its content among the messages that go with the row.
    """
    types = {Kind.AGENT: MessageType.AGENT, Kind.DEBUG: MessageType.DEBUG}
    return flow_rows(
        kind=kind,
        time_ns=time_ns,
        message=message,
        event_type=types.get(kind, 0),
        verdict=0,
        flags=0,
    )


def view_of(rows: Rows, messages: Sequence[bytes] = (), first: int = 0) -> View:
    """Rows as filters look at them.

    Args:
        rows: dtype `FLOW`.
        messages: what the rows' column `message` counts.
        first: sequence of the first row in a ring that it might stand in.
    """
    encoder = FlowEncoder(Surroundings(EndpointTable()), "default/node", ("zone=a",), run_id=1)

    def message(number: int) -> bytes:
        return messages[int(rows["message"][number - first]) - 1]

    return View(rows, first, message, encoder)


def lost_message(events: int = 1) -> bytes:
    """The message of such a row."""
    lost = flow_pb2.LostEvent(source=flow_pb2.PERF_EVENT_RING_BUFFER, num_events_lost=events)
    return lost.SerializeToString()


def parse_responses(responses: Iterable[bytes]) -> list[observer_pb2.GetFlowsResponse]:
    """The messages of encoded responses."""
    return [observer_pb2.GetFlowsResponse.FromString(response) for response in responses]


class FakeClock:
    """A clock that stands still until it is told to go on.

    Args:
        now_ns: where it stands, UTC ns.
    """

    def __init__(self, now_ns: int = START_NS) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        """UTC ns."""
        return self.now_ns

    def advance(self, seconds: float) -> None:
        """Go on by so many seconds."""
        self.now_ns += int(seconds * 1_000_000_000)


class Core:
    """The server between its sources and its sockets.

    Args:
        capacity: rows of the ring.
        endpoints: the endpoint table; an empty one by default.
        find_symbol: names the kernel function at an address.
        notify: called after each batch that wrote to the ring.
    """

    def __init__(
        self,
        *,
        capacity: int = 63,
        endpoints: EndpointTable | None = None,
        find_symbol: Callable[[int], str] | None = None,
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        endpoints = EndpointTable() if endpoints is None else endpoints
        self.surroundings = Surroundings(endpoints, find_symbol)
        self.ring = Ring(capacity)
        self.encoder = FlowEncoder(self.surroundings, "default/node", ("zone=a",), run_id=1)
        self.hooks = Hooks()
        self.pipeline = Pipeline(self.surroundings, self.hooks, self.encoder, self.ring, notify)

    def consume(self, *payloads: bytes, losses: tuple[Loss, ...] = ()) -> None:
        """Take payloads through the pipeline as one batch."""
        self.pipeline.consume(batch_of(payloads, losses=losses))

    def rows(self) -> Rows:
        """Copies of all rows of the ring, oldest first."""
        spans = self.ring.spans(self.ring.oldest, self.ring.next)
        pieces = [rows.copy() for _, rows in spans]
        return np.concatenate(pieces) if pieces else np.zeros(0, FLOW)


class FakeSource:
    """Gives what a test puts into it, in order; an exception is raised.

    Args:
        items: the first ones.
    """

    def __init__(self, *items: SourceItem | Exception) -> None:
        self._items: queue.Queue[SourceItem | Exception | None] = queue.Queue(maxsize=10_000)
        self.give(*items)

    def give(self, *items: SourceItem | Exception) -> None:
        """Have more items read."""
        for item in items:
            self._items.put(item)

    def read(self, timeout_s: float | None = None) -> SourceItem | None:
        """See `source.Source.read`."""
        try:
            item = self._items.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(item, Exception):
            raise item
        return item

    def wake(self) -> None:
        """See `source.Source.wake`; a wake-up waits its turn like an item."""
        self._items.put(None)

    def close(self) -> None:
        """Must not be called: a source is its owner's to close, not its reader's."""
        raise AssertionError("the source was closed by whoever reads it")


class FakePausableSource(FakeSource):
    """Likewise, and it notes when it was to rest."""

    def __init__(self, *items: SourceItem | Exception) -> None:
        super().__init__(*items)
        self.changes: queue.Queue[str] = queue.Queue(maxsize=10_000)
        """"paused" and "resumed", in order."""

    def pause(self) -> None:
        """See `source.Pausable`."""
        self.changes.put("paused")

    def resume(self) -> None:
        """Likewise."""
        self.changes.put("resumed")
