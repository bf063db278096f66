"""How a call ends: gRPC's status codes, and the one place where one is chosen for an error."""

from __future__ import annotations

from enum import IntEnum
from urllib.parse import quote

from hpack import NeverIndexedHeaderTuple

from palomar_server.errors import (
    Exhausted,
    HookFailed,
    InvalidRequest,
    NotFound,
    NotReady,
    OutOfRange,
    Refused,
    RequestError,
    Stopping,
    TooLate,
    Unsupported,
)

_TEXT_BYTES_MAX = 2048
"""Clients take 8 KiB of headers, of which the text is one, and is longer when it is quoted."""
_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class Status(IntEnum):
    """The codes that palomard gives; gRPC's "Status codes and their use in gRPC" lists all."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


_STATUS: dict[type[RequestError], Status] = {
    InvalidRequest: Status.INVALID_ARGUMENT,
    OutOfRange: Status.OUT_OF_RANGE,
    NotFound: Status.NOT_FOUND,
    NotReady: Status.FAILED_PRECONDITION,
    Unsupported: Status.UNIMPLEMENTED,
    Refused: Status.PERMISSION_DENIED,
    TooLate: Status.DEADLINE_EXCEEDED,
    Exhausted: Status.RESOURCE_EXHAUSTED,
    Stopping: Status.UNAVAILABLE,
    HookFailed: Status.INTERNAL,
}


def status_of(error: RequestError) -> Status:
    """The status of a request that is not served; a derived error has that of its base."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), Status.INTERNAL)


def status_headers(status: Status, text: str) -> list[tuple[bytes, bytes]]:
    """The headers that end a call.

    Args:
        status: how.
        text: for the caller; a long one is cut. Bytes that a header cannot hold are
            percent-encoded, as "gRPC over HTTP/2" has it.
    """
    headers = [(b"grpc-status", b"%d" % status)]
    if text:
        cut = text.encode(errors="replace")[:_TEXT_BYTES_MAX].decode(errors="ignore")
        # Not indexed: a client that asks for a large table of headers would fill it with texts.
        # Space around a value is no header either.
        safe = _PLAIN if cut == cut.strip(" ") else _PLAIN.replace(" ", "")
        quoted = quote(cut, safe=safe).encode()
        headers.append(NeverIndexedHeaderTuple(b"grpc-message", quoted))
    return headers
