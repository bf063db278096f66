"""The stream of the monitor socket, protocol 1.2: a gob stream of payloads.

A server opens the stream with the description of the type `Payload` and sends one message for each
payload; a client sends nothing. Rule: pkg/monitor/payload of Cilium, decoded as Go's encoding/gob
does (`palomar_proto.gob`).
"""

from __future__ import annotations

from typing import NamedTuple

from palomar_proto.gob import Basic, Encoder, GobError, StreamDecoder, StreamError, Struct
from palomar_proto.gob.wire import int_bytes, uint_bytes

SAMPLE = 9
"""`Payload.type` of an event; PERF_RECORD_SAMPLE of the kernel's perf interface."""
LOST = 2
"""`Payload.type` of a notice of loss; PERF_RECORD_LOST."""

PAYLOAD = Struct(
    "Payload",
    (("Data", Basic.BYTES), ("CPU", Basic.INT), ("Lost", Basic.UINT), ("Type", Basic.INT)),
)
"""The type as Go has it."""

DATA_BYTES_MAX = 1 << 20
"""Longest message taken from a stream: packets are at most 64 KiB, L7 records a little more."""

_ENCODER = Encoder(PAYLOAD)

OPENING = _ENCODER.descriptions
"""What a stream begins with, before its first payload."""

# A message is its length, the type id, and then (field number difference, value) of each field
# that is not zero, and 0: see `gob.encoder`. Spelled out since servers send many.
_TYPE_ID = int_bytes(64)
_LAST = b"\x00"


class Payload(NamedTuple):
    """One message of the stream."""

    data: bytes
    """The monitor message; empty in a notice of loss."""
    cpu: int
    lost: int
    """How many events the CPU's perf ring lost; 0 in a sample."""
    type: int
    """`SAMPLE`, `LOST`, or what a later release invents."""


def encode(payload: Payload) -> bytes:
    """One message of a stream that `OPENING` has opened.

    Raises:
        GobError: a number does not fit.
    """
    return _ENCODER.encode(
        {"Data": payload.data, "CPU": payload.cpu, "Lost": payload.lost, "Type": payload.type}
    )


def sample_around(data_bytes: int, cpu: int) -> tuple[bytes, bytes]:
    """What stands before and behind the data of a sample, for servers that send many alike.

    Args:
        data_bytes: length of the data, at least 1.
        cpu: the CPU.
    """
    before = _TYPE_ID + b"\x01" + uint_bytes(data_bytes)
    behind = (b"\x01" + int_bytes(cpu) + b"\x02" if cpu else b"\x03") + int_bytes(SAMPLE) + _LAST
    return uint_bytes(len(before) + data_bytes + len(behind)) + before, behind


class PayloadDecoder:
    """Decodes a stream as it arrives.

    Fields are matched by name, as Go does: a later release may send more, fewer, or others.
    """

    def __init__(self) -> None:
        self._stream = StreamDecoder(DATA_BYTES_MAX, PAYLOAD)

    @property
    def ended(self) -> bool:
        """A message was cut short, which ends the stream: whatever follows is not read."""
        return self._stream.ended

    def feed(self, data: bytes) -> list[Payload]:
        """The payloads that are complete with `data`.

        Raises:
            PayloadError: the stream is damaged, or of something else; it cannot be read further.
        """
        try:
            return [_payload(value) for value in self._stream.feed(data)]
        except StreamError as error:
            raise PayloadError(str(error), [_payload(value) for value in error.values]) from error

    def finish(self) -> None:
        """Say that nothing more comes.

        Raises:
            PayloadError: the stream ends within a message.
        """
        try:
            self._stream.finish()
        except GobError as error:
            raise PayloadError(str(error), []) from error


class PayloadError(ValueError):
    """A stream is no monitor stream, or damaged; `payloads` came complete before the damage."""

    def __init__(self, message: str, payloads: list[Payload]) -> None:
        super().__init__(message)
        self.payloads = payloads


def _payload(value: dict[str, object]) -> Payload:
    get = value.get
    # The types are those of PAYLOAD: the stream decoder has seen to it.
    return Payload(get("Data", b""), get("CPU", 0), get("Lost", 0), get("Type", 0))  # type: ignore[arg-type]
