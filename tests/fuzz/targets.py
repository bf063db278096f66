"""What every decoder has to do with any bytes at all: one function a target.

A target takes bytes, raises where something does not hold, and returns a short description of what
came out. `engine.py` has atheris look for bytes that make it raise, and takes a description not
seen before for new ground: code that works by columns has hardly any branches to tell by. The tests
here run the targets on seeds and on what hypothesis makes.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from palomar_bpf.batch import PayloadBatch
from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_proto.gob import GobError, decode_value
from palomar_proto.monitor.payload import OPENING, Payload, PayloadDecoder, PayloadError, encode
from palomar_proto.observer import observer_pb2
from palomar_server.decode.decoder import Decoder
from palomar_server.table import FLOW, Flag, Kind
from palomar_server.testing import START_NS, Core
from tests.fuzz.samples import payloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from palomar_server.decode.decoder import Decoded
    from palomar_server.decode.malformed import Malformed
    from palomar_server.table import Rows

Target: TypeAlias = "Callable[[bytes], object]"

PAYLOADS_MAX = 8
"""Payloads of one input; more would only make it slower."""
CORE_USES_MAX = 4_096
"""Inputs after which all interfaces are forgotten, long before their table is full."""
RARE = (MessageType.DEBUG, MessageType.ACCESS_LOG, MessageType.AGENT)
"""First bytes of what the target `rare` makes."""

CONTEXT = {
    "node_name": "default/node",
    "boot_offset_ns": START_NS,
    "links": {"2": "eth0"},
    "endpoints": {
        "pod": {
            "at_ns": 0,
            "addresses": ["10.0.0.10", "fd00::a"],
            "id": 1001,
            "identity": 20001,
            "namespace": "default",
            "pod_name": "pod",
            "labels": ["k8s:app=pod"],
        },
        "world": {"at_ns": 0, "addresses": ["0.0.0.0/0", "::/0"], "identity": 2},
    },
}
GOOD = payloads()
"""Payloads that have to come out whatever stands beside them."""


class _Shared:
    """A core that is made anew from time to time, and what it makes of the good payloads."""

    def __init__(self) -> None:
        self._core: Core | None = None
        self._left = 0
        self._good: dict[int, Decoded] = {}

    def core(self) -> Core:
        if self._core is None or not self._left:
            self._core = Core(capacity=63)
            self._core.surroundings.apply(CONTEXT)
            self._left = CORE_USES_MAX
            self._good.clear()
        self._left -= 1
        return self._core

    def good(self, core: Core, number: int) -> Decoded:
        if number not in self._good:
            decoded = self._good[number] = decode(core, [GOOD[number]])
            if len(decoded.rows) != 1:
                raise AssertionError(f"the good payload {number} is not decoded: {decoded}")
        return self._good[number]


_shared = _Shared()


def pack(items: Iterable[bytes]) -> bytes:
    """Payloads as `unpack` takes them: behind their lengths, two bytes little endian."""
    return b"".join(struct.pack("<H", len(item)) + item for item in items)


def unpack(data: bytes) -> list[bytes]:
    """The payloads of an input: any bytes are some."""
    items: list[bytes] = []
    while len(data) > 2 and len(items) < PAYLOADS_MAX:
        end = 2 + int.from_bytes(data[:2], "little")
        items.append(data[2:end])
        data = data[end:]
    return items


def batch(data: bytes) -> object:
    """Decode payloads of any kind, beside a good one that the first byte chooses, and alone."""
    core = _shared.core()
    number = data[0] % len(GOOD) if data else 0
    items = unpack(data[1:])
    apart = [decode(core, [item]) for item in items]
    for item, decoded in zip(items, apart, strict=True):
        if len(decoded.rows) + decoded.malformed.total() > 1:
            raise AssertionError(f"{item.hex()} is counted more than once: {decoded}")
    middle = len(items) // 2
    together = decode(core, [*items[:middle], GOOD[number], *items[middle:]])
    check_same([_shared.good(core, number), *apart], together)
    for row in together.rows:
        _check_flags(row)
    return _encode(core, together), sorted(together.malformed)


def rare(data: bytes) -> object:
    """Decode the kinds that come one by one, from the bytes behind the type on."""
    if not data:
        return None
    return batch(data[:1] + pack([bytes((RARE[data[0] % len(RARE)],)) + data[1:]]))


def gob(data: bytes) -> object:
    """Decode one gob value."""
    try:
        value = decode_value(data)
    except GobError as error:
        # Its numbers are those of the input, and would always be new.
        return "".join(letter for letter in str(error)[:40] if not letter.isdigit())
    return _shape(value)


def stream(data: bytes) -> object:
    """Decode a stream of the monitor socket, whole and in pieces as the first byte says."""
    step, data = (data[0] or 1, data[1:]) if data else (1, b"")
    whole = _read_stream([data])
    pieces = _read_stream([data[at : at + step] for at in range(0, len(data), step)])
    if pieces != whole:
        raise AssertionError(f"{whole} whole, but {pieces} in pieces of {step}")
    payloads, _ = whole
    if payloads:
        again = _read_stream([OPENING, *map(encode, payloads)])
        if again != (payloads, False):
            raise AssertionError(f"{payloads} came back as {again}")
    return len(payloads), whole[1], [(one.type, bool(one.cpu), bool(one.lost)) for one in payloads]


TARGETS: dict[str, Target] = {"batch": batch, "rare": rare, "gob": gob, "stream": stream}


def decode(core: Core, items: Sequence[bytes]) -> Decoded:
    """Decode, with other bytes between the payloads than any length would allow for."""
    gap = b"\xa5" * 5
    lengths = np.array([len(item) for item in items], np.int64)
    offsets = np.cumsum(lengths + len(gap)) - lengths
    return Decoder(core.surroundings).decode(
        PayloadBatch(
            np.frombuffer(gap + gap.join(items) + gap, np.uint8),
            offsets,
            lengths,
            np.full(len(items), 3, np.uint16),
            START_NS,
        )
    )


def check_same(apart: list[Decoded], together: Decoded) -> None:
    """Check that each payload became in a batch what it became alone."""
    alone: Counter[tuple[bytes, bytes]] = Counter()
    malformed: Counter[tuple[int, Malformed]] = Counter()
    for decoded in apart:
        alone.update(_content(decoded))
        malformed.update(decoded.malformed)
    if malformed != together.malformed:
        raise AssertionError(f"alone {malformed}, in a batch {together.malformed}")
    beside = Counter(_content(together))
    if alone != beside:
        raise AssertionError(f"alone but not in a batch: {alone - beside}; else {beside - alone}")


def _content(decoded: Decoded) -> list[tuple[bytes, bytes]]:
    """Each row's bytes and message, without the message's number."""
    contents = []
    for index in range(len(decoded.rows)):
        row: Rows = decoded.rows[index : index + 1].copy()
        number = int(row["message"][0])
        row["message"] = 0
        # A response knows the request before it.
        apart = number and row["event_type"][0] != MessageType.ACCESS_LOG
        contents.append((row.tobytes(), decoded.messages[number - 1] if apart else b""))
    return contents


_NUMBERS = [name for name in FLOW.names or () if not FLOW[name].shape]
"""Columns of one number each."""
# Columns that mean nothing without a flag.
_BEHIND_FLAG = {
    Flag.ETHERNET: ("source_mac", "destination_mac"),
    Flag.IP: ("ip_version", "source_hi", "source_lo", "destination_hi", "destination_lo"),
    Flag.L4: ("source_port", "destination_port", "tcp_flags", "icmp_type", "icmp_code"),
}


def _check_flags(row: Any) -> None:
    """Check that a layer's columns are empty where its flag is not set."""
    # Content in a message has no columns, and socket translations of a protocol they do not name
    # keep their port all the same.
    if int(row["message"]) or int(row["event_type"]) == MessageType.TRACE_SOCK:
        return
    for flag, columns in _BEHIND_FLAG.items():
        if not int(row["flags"]) & flag:
            for column in columns:
                if np.any(row[column]):
                    raise AssertionError(f"{column} is {row[column]} without {flag.name}: {row}")


def _encode(core: Core, decoded: Decoded) -> object:
    """Encode every row as a stream would get it, parse it, and describe it."""
    first = core.ring.append(decoded.rows, decoded.messages)
    shapes: list[object] = []
    for sequence in range(first, core.ring.next):
        ((_, row),) = core.ring.spans(sequence, sequence + 1)
        kind = int(row["kind"][0])
        if kind in {Kind.AGENT, Kind.DEBUG}:
            message = flow_pb2.AgentEvent if kind == Kind.AGENT else flow_pb2.DebugEvent
            shapes.append(_names(message.FromString(core.ring.message(sequence))))
            continue
        messages = {sequence: core.ring.message(sequence)}
        (encoded,) = core.encoder.responses().encode_batch(row.copy(), [sequence], messages)
        response = observer_pb2.GetFlowsResponse.FromString(encoded)
        if not response.HasField("flow"):
            raise AssertionError(f"a row that became {response}: {row}")
        filled = [bool(value) for value in row[_NUMBERS][0].item()]
        shapes.append([_names(response.flow), filled, response.flow.Summary[:12]])
    return shapes


def _names(message: Any) -> list[str]:
    return [field.name for field, _ in message.ListFields()]


def _shape(value: object) -> object:
    """A value without its details."""
    if isinstance(value, dict):
        return {str(name)[:8]: _shape(one) for name, one in list(value.items())[:8]}
    if isinstance(value, list | tuple):
        return [_shape(one) for one in value[:4]]
    return type(value).__name__


def _read_stream(pieces: Iterable[bytes]) -> tuple[list[Payload], bool]:
    """The payloads, and whether the stream was broken."""
    decoder = PayloadDecoder()
    payloads: list[Payload] = []
    try:
        for piece in pieces:
            payloads += decoder.feed(piece)
        decoder.finish()
    except PayloadError as error:
        return [*payloads, *error.payloads], True
    return payloads, False
