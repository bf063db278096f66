"""What the first bytes of a monitor message say, for whoever shows but does not decode messages.

Numbers are in the byte order of the node that made them, which is taken to be little-endian, as
every machine that Cilium runs on is. Layouts: bpf/lib of Cilium (drop.h, trace.h, policy_log.h,
dbg.h, trace_sock.h).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from palomar_proto.gob import GobError
from palomar_proto.monitor import agent_notice

if TYPE_CHECKING:
    from collections.abc import Callable

DROP = 1
DEBUG = 2
DEBUG_CAPTURE = 3
TRACE = 4
POLICY_VERDICT = 5
TRACE_SOCK = 7
ACCESS_LOG = 129
AGENT = 130

NAMES = {
    DROP: "drop",
    DEBUG: "debug",
    DEBUG_CAPTURE: "capture",
    TRACE: "trace",
    POLICY_VERDICT: "policy-verdict",
    TRACE_SOCK: "trace-sock",
    ACCESS_LOG: "l7",
    AGENT: "agent",
}
"""Names of the message types, as `palomar observe --type` takes them."""

EXT_VERSION = 0x50
"""Value of `ext_version` in palomar's own messages, which have a block of ours behind the head."""
DROP_BY_KERNEL = 255
"""Subtype of palomar's messages of packets that the kernel itself dropped."""
_KERNEL_REASON_AT = 76
"""In those: `drop_reason` of palomar's block, which begins behind 40 bytes of head."""

# type, subtype, source endpoint, hash, then by type.
_COMMON = struct.Struct("<BBHIIHBB")
_DEBUG = struct.Struct("<BBHI")
_CAPTURE = struct.Struct("<BBHIII")


class Head(NamedTuple):
    """The head of a message; None where its type has no such field or the message ends before."""

    type: int
    subtype: int | None = None
    """The second byte; of a notice of the agent its type."""
    endpoint: int | None = None
    """Id of the endpoint whose program made the message."""
    hash: int | None = None
    """Of the packet's flow, by the kernel."""
    version: int | None = None
    ext_version: int | None = None
    original_bytes: int | None = None
    """Length of the packet."""
    captured_bytes: int | None = None
    """How much of it the message carries."""


def read_head(message: bytes) -> Head | None:
    """The head of a message; None if it is empty. Never fails, whatever the bytes."""
    if not message:
        return None
    kind = message[0]
    try:
        return _READERS[kind](message)
    except (KeyError, IndexError, struct.error, GobError):
        return Head(kind)


def kernel_drop_reason(message: bytes) -> int | None:
    """Why the kernel dropped a packet, by the numbers of the node's own kernel.

    Args:
        message: any message.

    Returns:
        A number of enum skb_drop_reason; None if the message tells of no such drop, or is cut.
    """
    first = read_head(message)
    if first is None or (first.type, first.subtype) != (DROP, DROP_BY_KERNEL):
        return None
    if first.ext_version != EXT_VERSION or len(message) < _KERNEL_REASON_AT + 4:
        return None
    (reason,) = struct.unpack_from("<I", message, _KERNEL_REASON_AT)
    return int(reason)


def _packet(message: bytes) -> Head:
    kind, subtype, endpoint, hash_, original, captured, version, ext = _COMMON.unpack_from(message)
    return Head(kind, subtype, endpoint, hash_, version, ext, original, captured)


def _capture(message: bytes) -> Head:
    kind, subtype, endpoint, hash_, captured, original = _CAPTURE.unpack_from(message)
    return Head(kind, subtype, endpoint, hash_, None, None, original, captured)


_READERS: dict[int, Callable[[bytes], Head]] = {
    DROP: _packet,
    TRACE: _packet,
    POLICY_VERDICT: _packet,
    DEBUG_CAPTURE: _capture,
    DEBUG: lambda message: Head(*_DEBUG.unpack_from(message)),
    TRACE_SOCK: lambda message: Head(message[0], message[1]),
    AGENT: lambda message: Head(message[0], agent_notice.decode(message).type),
}
