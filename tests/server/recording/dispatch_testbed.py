"""Recordings that keep what they get, and packets to give them."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from palomar_proto.flow import flow_pb2
from palomar_proto.palomar.v1 import recordings_pb2
from palomar_recorder.ending import Ending
from palomar_recorder.sink import Sink
from palomar_recorder.stop_condition import StopCondition
from palomar_recorder.testing import MemoryTarget
from palomar_server.recording.dispatcher import Dispatcher
from palomar_server.recording.packet_filter import CompiledPacketFilter
from palomar_server.recording.subscription import Subscription
from palomar_server.recording.testing import FakePacketSource, recorded
from palomar_server.table import Protocol
from palomar_server.testing import START_NS, Core, packet, transport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from palomar_recorder.counts import Counts
    from palomar_recorder.encoder import Buffer
    from palomar_recorder.packets import Packets

DEADLINE_S = 10


class KeepingEncoder:
    """Keeps the packets that a real sink has it encode."""

    suffix = ".kept"

    def __init__(self) -> None:
        self.pieces: list[Packets] = []

    def begin(self) -> Sequence[Buffer]:
        return []

    def encode(self, packets: Packets) -> Sequence[Buffer]:
        self.pieces.append(packets)
        return []

    def undo(self) -> None:
        self.pieces.pop()

    def end(self, _counts: Counts, _ended_ns: int) -> Sequence[Buffer]:
        return []


class Kept:
    """A recording's subscription, sink and what came of it.

    Args:
        wanted: its filter.
        values: further fields of the subscription.
    """

    def __init__(self, wanted: CompiledPacketFilter, *, packets: int = 0, **values: object) -> None:
        self.encoder = KeepingEncoder()
        self.triggered: list[int] = []
        self.sink = Sink(
            self.encoder,
            MemoryTarget(),
            snaplen_bytes=int(str(values.get("snaplen_bytes", 0))),
            stop=StopCondition(packets=packets),
            queue_bytes_max=1 << 26,
            on_change=lambda: None,
            on_end=lambda: None,
        )
        self.subscription = Subscription(
            filter=wanted,
            sink=self.sink,
            on_trigger=self.triggered.append,
            **values,  # type: ignore[arg-type]
        )
        self.sink.start()

    def end(self) -> None:
        self.sink.close(Ending.STOPPED)
        assert self.sink.join(DEADLINE_S)

    @property
    def contents(self) -> list[bytes]:
        """The bytes of each packet."""
        return [
            piece.buffer[start : start + length].tobytes()
            for piece in self.encoder.pieces
            for start, length in zip(piece.offsets, piece.captured_bytes, strict=True)
        ]

    @property
    def times_ns(self) -> list[int]:
        return [time_ns for piece in self.encoder.pieces for time_ns in piece.times_ns.tolist()]

    @property
    def notes(self) -> list[str]:
        return [
            piece.note_table[note] for piece in self.encoder.pieces for note in piece.notes.tolist()
        ]


class Dispatching:
    """A dispatcher on a fake source."""

    def __init__(self, **values: object) -> None:
        self.core = Core()
        self.source = FakePacketSource()
        self.dispatcher = Dispatcher(
            self.source,
            self.core.surroundings,
            self.core.encoder,
            apart=contextlib.nullcontext,
            **values,  # type: ignore[arg-type]
        )

    def use(self, source: FakePacketSource) -> None:
        """Take packets from another source, before there are any recordings."""
        self.source = source
        self.dispatcher._rules._source = self.dispatcher._source = source

    def filter(
        self, *flows: flow_pb2.FlowFilter, pcap: str = "", one_way: bool = True
    ) -> CompiledPacketFilter:
        return CompiledPacketFilter(
            recordings_pb2.PacketFilter(whitelist=flows, pcap_filter=pcap, one_way=one_way),
            surroundings=self.core.surroundings,
            encoder=self.core.encoder,
        )

    def tuples(self, *ports: int) -> CompiledPacketFilter:
        """A filter that the kernel decides alone."""
        tuples = [recordings_pb2.PacketTuple(destination_port=one) for one in ports]
        return CompiledPacketFilter(
            recordings_pb2.PacketFilter(tuples=tuples, one_way=True),
            surroundings=self.core.surroundings,
            encoder=self.core.encoder,
        )

    def add(self, wanted: CompiledPacketFilter, **values: object) -> Kept:
        kept = Kept(wanted, **values)  # type: ignore[arg-type]
        self.dispatcher.add(kept.subscription)
        return kept

    def end(self, *all_kept: Kept) -> None:
        """Remove and end recordings."""
        for kept in all_kept:
            self.dispatcher.remove(kept.subscription)
            kept.end()


def port(number: int) -> flow_pb2.FlowFilter:
    return flow_pb2.FlowFilter(destination_port=[str(number)])


def pod(name: str) -> flow_pb2.FlowFilter:
    return flow_pb2.FlowFilter(source_pod=[name])


def dropped_flows() -> flow_pb2.FlowFilter:
    return flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED])


def frame(
    destination_port: int = 80, *, source: str = "192.0.2.1", payload: bytes = b"", number: int = 1
) -> bytes:
    """A TCP packet; `number` is its source port."""
    body = transport(Protocol.TCP, number, destination_port) + payload
    return packet(source, "192.0.2.2", Protocol.TCP, body)


def seen(
    count: int, destination_port: int = 80, *, since_ns: int = START_NS, step_ns: int = 1_000
) -> list[bytes]:
    """Messages of packets one after the other."""
    return [
        recorded(frame(destination_port, number=index + 1), time_ns=since_ns + index * step_ns)
        for index in range(count)
    ]


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
