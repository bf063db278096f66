"""Heads of drop and trace messages: the fields before the packet bytes.

Layouts: Cilium's DropNotify and TraceNotify in all their versions, with palomar's extension block
behind the head where `ext_version` says so (palomar_bpf.payload).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from palomar_bpf.payload import (
    DROP_HEAD,
    DROP_SUBTYPE_KERNEL,
    EXT_VERSION,
    EXTENSION,
    HEAD,
    TRACE_HEAD,
    MessageType,
)
from palomar_proto.flow import flow_pb2
from palomar_server.address import MASK64
from palomar_server.decode.gather import gather
from palomar_server.decode.malformed import Malformed
from palomar_server.table import Flag, opaque, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_bpf.batch import PayloadBatch
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows

_DROP_V0 = DROP_HEAD.descr[: len(HEAD.descr) + 7]
_ORIG_IP = ("orig_ip", "u1", 16)
_TRACE_ID = ("ip_trace_id", "u8")
_LAYOUTS: dict[tuple[int, int], list[Any]] = {
    (MessageType.TRACE, 0): TRACE_HEAD.descr,
    (MessageType.TRACE, 1): [*TRACE_HEAD.descr, _ORIG_IP],
    (MessageType.TRACE, 2): [*TRACE_HEAD.descr, _ORIG_IP, _TRACE_ID],
    (MessageType.DROP, 0): _DROP_V0,
    (MessageType.DROP, 1): _DROP_V0,
    (MessageType.DROP, 2): DROP_HEAD.descr,
    (MessageType.DROP, 3): [*DROP_HEAD.descr, _TRACE_ID],
}


_EXTENSIONS: tuple[tuple[int, list[Any]], ...] = (
    (0, []),
    (EXT_VERSION, [("extension", EXTENSION)]),
)


def _key(kind: int, version: int, ext_version: int) -> int:
    return kind | version << 8 | ext_version << 16


LAYOUTS: dict[int, np.dtype[np.void]] = {
    _key(kind, version, ext_version): np.dtype([*descr, *extension])
    for (kind, version), descr in _LAYOUTS.items()
    for ext_version, extension in _EXTENSIONS
}
"""Head layouts by type | version << 8 | ext_version << 16."""

_KEYS = np.array(list(LAYOUTS), np.uint32)
_WORDS = np.dtype([("first", "u4"), ("middle", "u1", 8), ("last", "u4")])
"""`HEAD` as words of a little-endian machine: the type is the lowest byte of the first, versions
are the upper half of the last."""
_KEY_TYPE, _KEY_SHIFT, _KEY_VERSIONS = np.uint32(0xFF), np.uint32(8), np.uint32(0xFFFF00)
_TRACE, _DROP = int(MessageType.TRACE), int(MessageType.DROP)
_DECODED_TYPES = np.array([_TRACE, _DROP], np.uint32)
_FORWARDED, _DROPPED = int(flow_pb2.FORWARDED), int(flow_pb2.DROPPED)
_REASON_BITS = 0x7F
# TraceReason of the monitor to flow.TraceReason: one more below 5, 5 is unknown, the rest the same,
# numbers without a name too.
_TRACE_REASONS = np.arange(_REASON_BITS + 1, dtype=np.uint8)
_TRACE_REASONS[:6] = (1, 2, 3, 4, 5, 0)
# is_reply by monitor reason: 2 is a reply; "unknown" and SRv6 encapsulation do not say.
_IS_REPLY = np.zeros(_REASON_BITS + 1, np.int8)
_IS_REPLY[2] = 1
_IS_REPLY[5:8] = -1
_ENCRYPTED_FLAG = np.zeros(256, np.uint8)
_ENCRYPTED_FLAG[0x80:] = Flag.ENCRYPTED
# The monitor's 0 is "to endpoint", which is 101 in flow.proto; the others are the same in both.
_OBSERVATION_POINTS = np.arange(256, dtype=np.uint8)
_OBSERVATION_POINTS[0] = flow_pb2.TO_ENDPOINT
_FLAG_L3_DEVICE = 2
_FLAG_IPV6 = 1


class PacketSpans:
    """Where the packet bytes of each row are, and what they start with.

    Attributes:
        start: offset of the first packet byte, shape (n,), dtype int64.
        end: offset behind the last one, shape (n,), dtype int64.
        l3: whether they start at the network header, shape (n,), dtype bool.
        ipv6: for those, whether it is IPv6, shape (n,), dtype bool.
        ours: whether the payload is one of palomar's own programs, shape (n,), dtype bool.
    """

    __slots__ = ("end", "ipv6", "l3", "ours", "start")

    def __init__(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> None:
        self.start = start
        self.end = end
        self.l3 = np.zeros(len(start), np.bool_)
        self.ipv6 = np.zeros(len(start), np.bool_)
        self.ours = np.zeros(len(start), np.bool_)


def decode_heads(
    batch: PayloadBatch,
    buffer: NDArray[np.uint8],
    rows: Rows,
    malformed: NDArray[np.uint8],
    surroundings: Surroundings,
) -> PacketSpans:
    """Fill the columns that come from the heads.

    Args:
        batch: the payloads.
        buffer: its buffer, padded.
        rows: n zeroed rows to fill, in the batch's order.
        malformed: shape (n,), zeroed; gets a `Malformed` where a head cannot be read.
        surroundings: gives meaning to reasons, addresses and links.

    Returns:
        Where each row's packet is; empty spans for malformed rows.
    """
    starts, lengths = batch.offsets, batch.lengths
    common = gather(buffer, starts, _WORDS)
    keys = common["first"] & _KEY_TYPE
    keys |= common["last"] >> _KEY_SHIFT & _KEY_VERSIONS
    spans = PacketSpans(starts.copy(), starts + lengths)
    rows["time_ns"] = batch.received_ns
    # Another payload's bytes are behind a short one: whether the head is there is asked first.
    shortest = int(lengths.min())
    damaged = shortest < HEAD.itemsize
    if damaged:
        short = lengths < HEAD.itemsize
        malformed[short] = Malformed.HEAD_TOO_SHORT
        malformed[lengths == 0] = Malformed.EMPTY
    same = int(keys[0]) if not damaged and np.count_nonzero(keys != keys[0]) == 0 else None
    layout = LAYOUTS.get(same) if same is not None else None
    if layout is not None and shortest >= layout.itemsize:
        # Most batches: one kind of message, and nothing wrong with any.
        _fill(slice(None), gather(buffer, starts, layout), rows, spans, surroundings)
        return spans
    for key in _known_keys(keys):
        layout = LAYOUTS[key]
        chosen = ((keys == key) & (malformed == 0)).nonzero()[0]
        whole = lengths[chosen] >= layout.itemsize
        if not whole.all():
            malformed[chosen[~whole]] = Malformed.HEAD_TOO_SHORT
            chosen = chosen[whole]
        if chosen.size:
            _fill(chosen, gather(buffer, starts[chosen], layout), rows, spans, surroundings)
    # Rows that were filled have their type by now.
    unknown = ((rows["event_type"] == 0) & (malformed == 0)).nonzero()[0]
    if unknown.size:
        malformed[unknown] = np.where(
            np.isin(keys[unknown] & _KEY_TYPE, _DECODED_TYPES),
            Malformed.UNKNOWN_VERSION,
            Malformed.UNKNOWN_TYPE,
        )
    spans.end[malformed != 0] = 0
    spans.start[malformed != 0] = 0
    return spans


def _known_keys(keys: NDArray[np.uint32]) -> list[int]:
    """The distinct keys that have a layout; a batch has a handful at most, and mostly one."""
    found: list[int] = []
    rest = keys
    while rest.size:
        first = int(rest[0])
        if first in LAYOUTS:
            found.append(first)
            rest = rest[rest != first]
        else:
            # All at once: a damaged batch may hold as many unknown keys as payloads.
            rest = rest[np.isin(rest, _KEYS)]
    return found


def _fill(
    chosen: NDArray[np.intp] | slice,
    heads: NDArray[np.void],
    rows: Rows,
    spans: PacketSpans,
    surroundings: Surroundings,
) -> None:
    """Fill the rows `chosen`, whose heads share one layout."""
    part = rows if isinstance(chosen, slice) else take(rows, chosen)
    part["event_type"] = heads["type"]
    part["event_subtype"] = heads["subtype"]
    part["local_endpoint_id"] = heads["source"]
    part["length_bytes"] = heads["len_orig"]
    part["source_identity"] = heads["src_label"]
    part["destination_identity"] = heads["dst_label"]
    spans.start[chosen] += heads.dtype.itemsize
    names = heads.dtype.names or ()
    if "flags" in names:
        flags = heads["flags"]
        if np.count_nonzero(flags):
            spans.l3[chosen] = flags & _FLAG_L3_DEVICE != 0
            spans.ipv6[chosen] = flags & _FLAG_IPV6 != 0
    if int(heads["type"][0]) == _TRACE:
        _fill_trace(heads, part)
    else:
        _fill_drop(heads, part)
    if "extension" in names:
        spans.ours[chosen] = True
        captured = spans.start[chosen] + heads["len_cap"]
        spans.end[chosen] = np.minimum(spans.end[chosen], captured)
        _fill_extension(heads["extension"], part, surroundings)
    else:
        part["packets"] = 1
        part["bytes"] = heads["len_orig"]
    _fill_interface(heads, part, surroundings)
    if part is not rows:
        opaque(rows)[chosen] = opaque(part)


def _fill_trace(heads: NDArray[np.void], part: Rows) -> None:
    reason = heads["reason"]
    code = reason & _REASON_BITS
    part["verdict"] = _FORWARDED
    part["trace_reason"] = _TRACE_REASONS[code]
    part["is_reply"] = _IS_REPLY[code]
    part["flags"] = _ENCRYPTED_FLAG[reason]
    part["observation_point"] = _OBSERVATION_POINTS[heads["subtype"]]


def _fill_drop(heads: NDArray[np.void], part: Rows) -> None:
    part["verdict"] = _DROPPED
    part["is_reply"] = -1
    part["drop_reason"] = heads["subtype"]


def _fill_extension(extensions: NDArray[np.void], part: Rows, surroundings: Surroundings) -> None:
    # Modulo 2^64: the offset of a clock that was set back is negative.
    part["time_ns"] = extensions["time_ns"] + np.uint64(surroundings.boot_offset_ns & MASK64)
    part["tgid"] = extensions["tgid"]
    part["netns"] = extensions["netns"]
    part["packets"] = np.maximum(extensions["packets"], 1)
    part["bytes"] = np.maximum(extensions["bytes"], part["length_bytes"])
    if int(part["event_type"][0]) != _DROP:
        return
    kernel = (part["event_subtype"] == DROP_SUBTYPE_KERNEL).nonzero()[0]
    if not kernel.size:
        return
    reasons, reason_of = np.unique(extensions["drop_reason"][kernel], return_inverse=True)
    numbers = np.array([surroundings.drop_reason(number) for number in reasons.tolist()], np.uint16)
    part["drop_reason"][kernel] = numbers[reason_of]
    locations, location_of = np.unique(extensions["location"][kernel], return_inverse=True)
    pairs, pair_of = np.unique(location_of * len(reasons) + reason_of, return_inverse=True)
    sites = [
        surroundings.drop_site(
            int(locations[pair // len(reasons)]), int(reasons[pair % len(reasons)])
        )
        for pair in pairs.tolist()
    ]
    part["drop_site"][kernel] = np.array(sites, np.uint32)[pair_of]


def _fill_interface(heads: NDArray[np.void], part: Rows, surroundings: Surroundings) -> None:
    """Name the interface: by the event itself where it says, else by the node's own links."""
    part["interface"] = surroundings.link_rows(heads["ifindex"])
    if "extension" not in (heads.dtype.names or ()):
        return
    extensions = heads["extension"]
    if int(heads["type"][0]) != _DROP:
        return
    named = np.flatnonzero(extensions["interface"] != b"")
    if not named.size:
        return
    # The same index is another link in another namespace, so the name belongs to the key.
    names, name_of = np.unique(extensions["interface"][named], return_inverse=True)
    keys = heads["ifindex"][named].astype(np.uint64) << np.uint64(32)
    keys |= name_of.astype(np.uint64)
    pairs, pair_of = np.unique(keys, return_inverse=True)
    interfaces = [
        # Behind the NUL may be what is left of a longer name that the link had before.
        surroundings.interface(
            pair >> 32,
            bytes(names[pair & 0xFFFF_FFFF]).partition(b"\0")[0].decode("utf-8", "replace"),
        )
        for pair in pairs.tolist()
    ]
    part["interface"][named] = np.array(interfaces, np.uint32)[pair_of]
