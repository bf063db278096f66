"""Cases of monitor_socket.jsonl: a stream of the monitor socket, and the payloads in it.

Each stream is decoded in one piece and byte by byte. Its payloads are encoded as our listener
encodes them, and once more with the type number of the case's own stream: then the bytes must be
the same, where the stream is of today's `Payload`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palomar_proto.gob import Encoder
from palomar_proto.gob.types import FIRST_USER_ID
from palomar_proto.gob.wire import read_int, read_uint
from palomar_proto.monitor.payload import (
    OPENING,
    PAYLOAD,
    Payload,
    PayloadDecoder,
    PayloadError,
    encode,
)
from tests.conformance.corpus import Case, Comparison, Run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def prepare(_: Path) -> Run:
    """Nothing is shared."""
    return run


def run(case: Case) -> Comparison:
    """Run one case."""
    stream = bytes.fromhex(case["stream"])
    payloads = [_payload(one) for one in case["payloads"]]
    expected = _told(payloads, broken=case["error"] is not None)
    return Comparison(
        {
            "whole": expected,
            "byte by byte": expected,
            "again": _told(payloads, broken=False),
            "stream": _encodable(stream, payloads).hex(),
        },
        {
            "whole": _decoded([stream]),
            "byte by byte": _decoded(stream[at : at + 1] for at in range(len(stream))),
            # Go describes its types with the first value, and not before.
            "again": _decoded([OPENING, *map(encode, payloads)] if payloads else []),
            "stream": _encoded(stream, payloads).hex(),
        },
    )


def _payload(written: dict[str, Any]) -> Payload:
    data = bytes.fromhex(written["data"] or "")
    return Payload(data, written["cpu"], written["lost"], written["type"])


def _told(payloads: Iterable[Payload], *, broken: bool) -> dict[str, Any]:
    shown = [payload._asdict() | {"data": payload.data.hex()} for payload in payloads]
    return {"payloads": shown, "broken": broken}


def _decoded(pieces: Iterable[bytes]) -> dict[str, Any]:
    decoder = PayloadDecoder()
    payloads: list[Payload] = []
    try:
        for piece in pieces:
            payloads += decoder.feed(piece)
        decoder.finish()
    except PayloadError as error:
        return _told([*payloads, *error.payloads], broken=True)
    return _told(payloads, broken=False)


def _encoder(stream: bytes) -> Encoder:
    """An encoder that numbers types as whoever wrote the stream did, if that can be told."""
    if len(stream) < len(OPENING):
        return Encoder(PAYLOAD)
    _, start = read_uint(stream, 0)
    return Encoder(PAYLOAD, max(FIRST_USER_ID, -read_int(stream, start)[0]))


def _is_plain(stream: bytes, payloads: list[Payload]) -> bool:
    return bool(payloads) and stream.startswith(_encoder(stream).descriptions)


def _encodable(stream: bytes, payloads: list[Payload]) -> bytes:
    """The part of the stream that encoding its payloads should give."""
    if not _is_plain(stream, payloads):
        return b""
    at = len(_encoder(stream).descriptions)
    for _ in payloads:
        length, start = read_uint(stream, at)
        at = start + length
    return stream[:at]


def _encoded(stream: bytes, payloads: list[Payload]) -> bytes:
    if not _is_plain(stream, payloads):
        return b""
    encoder = _encoder(stream)
    values = (
        {"Data": one.data, "CPU": one.cpu, "Lost": one.lost, "Type": one.type} for one in payloads
    )
    return encoder.descriptions + b"".join(map(encoder.encode, values))
