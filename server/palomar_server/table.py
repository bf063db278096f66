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
    """What a row stands for."""

    FLOW = 0
    LOST = 1
    AGENT = 2
    DEBUG = 3


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
    ORIGINAL = 32
    """The event said what the source address was before translation, changed or not."""
    XLATED = 64
    """The source address was translated: `source_…` is that before, `source_xlated_…` the one in
    the packet."""
    MTU = 128
    """The summary tells `icmp_mtu`. Only events of palomar's own programs have this bit: the text
    of Cilium's is Hubble's."""


class Protocol(enum.IntEnum):
    """IANA protocol numbers of the transport headers that are decoded."""

    ICMP = 1
    IGMP = 2
    TCP = 6
    UDP = 17
    ICMPV6 = 58
    VRRP = 112
    SCTP = 132


_VARYING = [
    # Differs from packet to packet of a connection.
    ("time_ns", "u8"),
    ("bytes", "u8"),
    ("packets", "u4"),
    ("length_bytes", "u4"),
    ("tgid", "u4"),
    ("netns", "u4"),
    ("message", "u4"),
    ("reserved", "u1", 4),
]
_REPEATING = [
    # The same for many packets of a connection: what the encoder serialises once.
    ("source_hi", "u8"),
    ("source_lo", "u8"),
    ("destination_hi", "u8"),
    ("destination_lo", "u8"),
    ("source_xlated_hi", "u8"),
    ("source_xlated_lo", "u8"),
    ("tunnel_source_hi", "u8"),
    ("tunnel_source_lo", "u8"),
    ("tunnel_destination_hi", "u8"),
    ("tunnel_destination_lo", "u8"),
    ("ip_trace_id", "u8"),
    ("socket_cookie", "u8"),
    ("cgroup_id", "u8"),
    ("source_endpoint", "u4"),
    ("destination_endpoint", "u4"),
    ("source_identity", "u4"),
    ("destination_identity", "u4"),
    ("interface", "u4"),
    ("drop_site", "u4"),
    ("drop_reason", "u4"),
    ("proxy_port", "u4"),
    ("igmp_group", "u4"),
    ("tunnel_vni", "u4"),
    ("icmp_mtu", "u4"),
    ("source_port", "u2"),
    ("destination_port", "u2"),
    ("local_endpoint_id", "u2"),
    ("tcp_flags", "u2"),
    ("drop_line", "u2"),
    ("tunnel_source_port", "u2"),
    ("tunnel_destination_port", "u2"),
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
    ("drop_file", "u1"),
    ("drop_ext_error", "i1"),
    ("policy_match_type", "u1"),
    ("auth_type", "u1"),
    ("vrrp_vrid", "u1"),
    ("vrrp_priority", "u1"),
    ("tunnel_protocol", "u1"),
    ("tunnel_ip_version", "u1"),
    ("ip_trace_option", "u1"),
    ("padding", "u1", 4),
]

FLOW = np.dtype([*_VARYING, *_REPEATING])
"""One event, 240 bytes, native byte order.

- `time_ns`: UTC, from the kernel's clock where the event has it, else the time of receipt.
- `packets`, `bytes`: traffic the event stands for (1 and its length without aggregation).
- `length_bytes`: original length of the packet, from its first captured byte on.
- `message`: 0 where the row holds all there is; else one more than the index of its serialised
  content in the messages of the batch: flow.LostEvent, flow.AgentEvent or flow.DebugEvent, after
  `kind`, or a flow.Flow with what columns have no room for. In the row, so that nobody who takes
  some rows or orders them has to number anything anew. In the ring it only tells that there is one.
- `tgid`, `netns`: process and network namespace inode, 0 where unknown.
- `source_hi`, `source_lo` …: 16 address bytes as two big-endian numbers, IPv4 mapped into IPv6.
- `source_endpoint` …: row of the endpoint table that was valid at `time_ns`; 0 is none.
- `interface`, `drop_site`: row of their table; 0 is none.
- `local_endpoint_id`: id of the local endpoint where the event was seen; 0 is none.
- `source_xlated_…`: see `Flag.XLATED`.
- `tunnel_protocol`: flow.Tunnel.Protocol, 0 outside of tunnels; the other `tunnel_…` columns are
  the outer packet's then, and the columns without that prefix the inner packet's.
- `ip_trace_id`, `socket_cookie`, `cgroup_id`, `proxy_port`, `policy_match_type`, `auth_type`: the
  fields of that name in flow.proto; 0 is none.
- `ip_trace_option`: the IPv4 option that carries such ids, where users named one; 0 is none.
- `tcp_flags`: the low nine bits of the TCP header's offset-and-flags word (NS is 0x100).
- `icmp_type`: type of an ICMP, IGMP or VRRP message; `icmp_code`: code of an ICMP message.
- `icmp_mtu`: bytes that the next link takes, of "fragmentation needed" (RFC 1191) and "packet too
  big" (RFC 4443) messages; 0 is none.
- `igmp_group`: IPv4 address as a number; `vrrp_vrid`, `vrrp_priority`: fields of flow.VRRP.
- `drop_reason`: flow.DropReason, 1000 and above for palomar.v1.KernelDropReason; of policy verdicts
  the negated verdict.
- `drop_file`, `drop_line`: number of Cilium's source file, and line; `drop_ext_error`: the error
  that the event tells besides its reason.
- `kind`: `Kind`; `flags`: `Flag`; `protocol`: IANA number, of the innermost IP header.
- `verdict`, `direction`, `trace_reason`, `observation_point`, `ip_version`: numbers of the
  enumerations of that name in flow.proto; `event_type`, `event_subtype`: of the monitor message.
  The subtype is the flow.DebugCapturePoint or flow.SocketTranslationPoint where there is one.
- `is_reply`: 1 yes, 0 no, −1 unknown.
"""

_OFFSETS: dict[str, int] = {name: FLOW.fields[name][1] for name in FLOW.names or ()}  # type: ignore[index]

ICMP_QUOTE = np.dtype(
    {
        "names": [
            *("icmp_type", "icmp_code", "quoted_destination_hi", "quoted_destination_lo"),
            *("quoted_source_port", "quoted_destination_port", "quoted_protocol"),
        ],
        "formats": ["u1", "u1", "u8", "u8", "u2", "u2", "u1"],
        "offsets": [
            *(_OFFSETS["icmp_type"], _OFFSETS["icmp_code"]),
            *(_OFFSETS["socket_cookie"], _OFFSETS["cgroup_id"]),
            *(_OFFSETS["igmp_group"], _OFFSETS["igmp_group"] + 2),
            _OFFSETS["vrrp_vrid"],
        ],
        "itemsize": FLOW.itemsize,
    }
)
"""What `FLOW` says of an ICMP error, `rows.view(ICMP_QUOTE)`: the packet that it is about.

The quote takes the place of columns that only socket events, IGMP and VRRP have.
- `quoted_protocol`: IANA number; 0 where no packet is quoted, or its header was not captured.
- `quoted_destination_hi`, `…_lo`: where that packet was going. Its sender is whom the error is
  sent to.
- `quoted_source_port`, `quoted_destination_port`: of TCP, UDP and SCTP; 0 where not captured.
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


def joined(*pieces: Rows) -> Rows:
    """Some rows behind the others; copied, unless there is only one piece.

    numpy would first compare the names of all fields, which takes longer than all the rest.
    """
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate([opaque(rows) for rows in pieces]).view(FLOW)


def by_time(rows: Rows) -> Rows:
    """Order events by time; those of the same time keep their order. Not copied where they are."""
    times = rows["time_ns"]
    if not np.count_nonzero(times[1:] < times[:-1]):
        return rows
    return take(rows, np.argsort(times, kind="stable"))
