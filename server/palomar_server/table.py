"""The flow table: one row of `FLOW` an event, in batches and in the ring.

Strings never live here: a row refers to endpoints, interfaces and drop sites by their row in the
tables of the same name, and the encoder puts the words back for flows that somebody receives.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = np.ndarray[tuple[int], np.dtype[np.void]]
"""Shape (n,), dtype `FLOW`."""

Mask: TypeAlias = NDArray[np.bool_]
"""Shape (n,), dtype bool: which rows."""


class Kind(enum.IntEnum):
    """What a row stands for. Only flows have their whole content in the row."""

    FLOW = 0
    LOST = 1


class Flag(enum.IntFlag):
    """Bits of the column `flags`."""

    ETHERNET = 1
    """The packet had an Ethernet header: the MAC columns hold."""
    IP = 2
    """The packet had an IP header: `ip_version`, addresses and `protocol` hold."""
    L4 = 4
    """The transport header was there and of a known protocol: its columns hold."""
    ENCRYPTED = 8
    """The packet is or will be encrypted between nodes."""
    PACKET = 16
    """There were packet bytes at all."""


class Protocol(enum.IntEnum):
    """IANA protocol numbers of the transport headers that are decoded."""

    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58
    SCTP = 132


_VARYING = [
    # Differs from packet to packet of a connection.
    ("time_ns", "u8"),
    ("bytes", "u8"),
    ("packets", "u4"),
    ("length_bytes", "u4"),
    ("tgid", "u4"),
    ("netns", "u4"),
]
_REPEATING = [
    # The same for many packets of a connection: what the encoder serialises once.
    ("source_hi", "u8"),
    ("source_lo", "u8"),
    ("destination_hi", "u8"),
    ("destination_lo", "u8"),
    ("source_endpoint", "u4"),
    ("destination_endpoint", "u4"),
    ("source_identity", "u4"),
    ("destination_identity", "u4"),
    ("interface", "u4"),
    ("drop_site", "u4"),
    ("source_port", "u2"),
    ("destination_port", "u2"),
    ("local_endpoint_id", "u2"),
    ("tcp_flags", "u2"),
    ("ethertype", "u2"),
    ("drop_reason", "u2"),
    # In the order of an Ethernet header: the decoder moves both at once.
    ("destination_mac", "u1", 6),
    ("source_mac", "u1", 6),
    ("kind", "u1"),
    ("event_type", "u1"),
    ("event_subtype", "u1"),
    ("verdict", "u1"),
    ("flags", "u1"),
    ("ip_version", "u1"),
    ("protocol", "u1"),
    ("icmp_type", "u1"),
    ("icmp_code", "u1"),
    ("direction", "u1"),
    ("is_reply", "i1"),
    ("trace_reason", "u1"),
    ("observation_point", "u1"),
    ("padding", "u1", 3),
]

FLOW = np.dtype([*_VARYING, *_REPEATING])
"""One event, 128 bytes, native byte order.

- `time_ns`: UTC, from the kernel's clock where the event has it, else the time of receipt.
- `packets`, `bytes`: traffic the event stands for (1 and its length without aggregation).
- `length_bytes`: original length of the packet, from its first captured byte on.
- `tgid`, `netns`: process and network namespace inode, 0 where unknown.
- `source_hi`, `source_lo` …: 16 address bytes as two big-endian numbers, IPv4 mapped into IPv6.
- `source_endpoint` …: row of the endpoint table that was valid at `time_ns`; 0 is none.
- `interface`, `drop_site`: row of their table; 0 is none.
- `local_endpoint_id`: id of the local endpoint where the event was seen; 0 is none.
- `tcp_flags`: the low nine bits of the TCP header's offset-and-flags word (NS is 0x100).
- `drop_reason`: flow.DropReason, 1000 and above for palomar.v1.KernelDropReason.
- `kind`: `Kind`; `flags`: `Flag`; `protocol`: IANA number.
- `verdict`, `direction`, `trace_reason`, `observation_point`, `ip_version`: numbers of the
  enumerations of that name in flow.proto; `event_type`, `event_subtype`: of the monitor message.
- `is_reply`: 1 yes, 0 no, −1 unknown.
"""

REPEATING_OFFSET: int = np.dtype(_VARYING).itemsize
"""Offset of the first column that repeats within a connection."""

_OPAQUE = np.dtype((np.void, FLOW.itemsize))


def opaque(rows: Rows) -> Rows:
    """The same memory as rows without fields: numpy moves those whole instead of field by field."""
    return rows.view(_OPAQUE)


def take(rows: Rows, which: NDArray[np.intp] | Mask) -> Rows:
    """Copy some rows, by index or mask."""
    return opaque(rows)[which].view(FLOW)
