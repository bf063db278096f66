"""Layouts of monitor messages: the part both the kernel side and the decoder must agree on.

The heads are Cilium's (bpf/lib/drop.h, trace.h, policy_log.h, dbg.h, trace_sock.h); all numbers
are in native byte order. Byte 15 of a drop or trace head, `ext_version`, exists for downstream
extensions: palomar's own messages carry `EXT_VERSION` there and `EXTENSION` between the head and
the packet bytes.

`EXTENSION`, `TRACE_HEAD` and `DROP_HEAD` must match `struct extension`, `struct trace_event` and
`struct drop_event` in programs/event.h; tests/bpf/test_payload.py compares sizes and offsets.
"""

from __future__ import annotations

import enum

import numpy as np

EXT_VERSION = 0x50
"""Value of `ext_version` in messages with palomar's extension block ('P')."""


class MessageType(enum.IntEnum):
    """First byte of every monitor message."""

    DROP = 1
    DEBUG = 2
    DEBUG_CAPTURE = 3
    TRACE = 4
    POLICY_VERDICT = 5
    TRACE_SOCK = 7
    ACCESS_LOG = 129
    AGENT = 130


class ObservationPoint(enum.IntEnum):
    """Subtype of a trace message: where on its way the packet was seen."""

    TO_ENDPOINT = 0
    TO_PROXY = 1
    TO_HOST = 2
    TO_STACK = 3
    TO_OVERLAY = 4
    FROM_ENDPOINT = 5
    FROM_PROXY = 6
    FROM_HOST = 7
    FROM_STACK = 8
    FROM_OVERLAY = 9
    FROM_NETWORK = 10
    TO_NETWORK = 11
    FROM_CRYPTO = 12
    TO_CRYPTO = 13


class TraceReason(enum.IntEnum):
    """What connection tracking said, in a trace message; bit 0x80 means encrypted."""

    NEW = 0
    ESTABLISHED = 1
    REPLY = 2
    RELATED = 3
    UNKNOWN = 5


DROP_SUBTYPE_KERNEL = 255
"""Subtype of a drop message made from the kernel's kfree_skb: the reason is in the extension."""

DROP_FLAG_IPV6 = 1
"""The addresses in the head, and the packet where it has no Ethernet header, are IPv6."""
DROP_FLAG_L3_DEVICE = 2
"""The packet bytes start at the network header: there is no Ethernet header."""
DROP_FLAG_VXLAN = 4
DROP_FLAG_GENEVE = 8
"""The packet is a tunnel's: behind its UDP header is a VXLAN or Geneve header. The flags of trace
messages are the same."""

REASON_ENCRYPTED = 0x80
"""Bit of the reason of a trace message."""

HEAD = np.dtype(
    [
        ("type", "u1"),
        ("subtype", "u1"),
        ("source", "u2"),
        ("hash", "u4"),
        ("len_orig", "u4"),
        ("len_cap", "u2"),
        ("version", "u1"),
        ("ext_version", "u1"),
    ]
)
"""The 16 bytes that drop, trace and policy-verdict messages share. `source` is the id of the local
endpoint the event belongs to (0: none); `len_orig` and `len_cap` count packet bytes."""

TRACE_HEAD = np.dtype(
    [
        *HEAD.descr,
        ("src_label", "u4"),
        ("dst_label", "u4"),
        ("dst_id", "u2"),
        ("reason", "u1"),
        ("flags", "u1"),
        ("ifindex", "u4"),
    ]
)
"""TraceNotify version 0, 32 bytes: what palomar's own programs emit. `dst_id` is the id of the
destination's local endpoint or, to the proxy, the proxy's port."""

TRACE_HEAD_V1 = np.dtype([*TRACE_HEAD.descr, ("orig_ip_hi", ">u8"), ("orig_ip_lo", ">u8")])
"""TraceNotify version 1, 48 bytes. `orig_ip` is the source before translation, all zero if there
was none: 16 bytes in network order, of which IPv4 fills the first four."""

TRACE_HEAD_V2 = np.dtype([*TRACE_HEAD_V1.descr, ("ip_trace_id", "u8")])
"""TraceNotify version 2, 56 bytes. `ip_trace_id` comes from an IP option, 0 is none."""

DROP_HEAD = np.dtype(
    [
        *HEAD.descr,
        ("src_label", "u4"),
        ("dst_label", "u4"),
        ("dst_id", "u4"),
        ("line", "u2"),
        ("file", "u1"),
        ("ext_error", "i1"),
        ("ifindex", "u4"),
        ("flags", "u1"),
        ("pad", "u1", 3),
    ]
)
"""DropNotify version 2, 40 bytes: what palomar's own programs emit. `file` and `line` tell where in
Cilium's sources."""

DROP_HEAD_V0 = np.dtype(DROP_HEAD.descr[:-2])
"""DropNotify versions 0 and 1, 36 bytes: no flags yet."""

DROP_HEAD_V3 = np.dtype([*DROP_HEAD.descr, ("ip_trace_id", "u8")])
"""DropNotify version 3, 48 bytes."""

POLICY_VERDICT_HEAD = np.dtype(
    [
        *HEAD.descr,
        ("remote_label", "u4"),
        ("verdict", "i4"),
        ("dst_port", "u2"),
        ("protocol", "u1"),
        ("flags", "u1"),
        ("auth_type", "u1"),
        ("pad", "u1", 3),
        ("cookie", "u4"),
        ("pad_cookie", "u4"),
    ]
)
"""PolicyVerdictNotify, 40 bytes in every version. `verdict` is 0 for allowed, the proxy's port for
redirected, the negated drop reason for denied; `remote_label` the identity of the other side."""

POLICY_FLAG_DIRECTION = 0x03
"""Bits of the direction as seen from the endpoint: 1 ingress, 2 egress."""
POLICY_FLAG_IPV6 = 0x04
POLICY_FLAG_MATCH_TYPE = 0x38
POLICY_FLAG_MATCH_TYPE_SHIFT = 3
POLICY_FLAG_AUDITED = 0x40
"""The packet went on because policies are only audited."""
POLICY_FLAG_L3_DEVICE = 0x80

DEBUG_CAPTURE_HEAD = np.dtype(
    [
        ("type", "u1"),
        ("subtype", "u1"),
        ("source", "u2"),
        ("hash", "u4"),
        ("len_cap", "u4"),
        ("len_orig", "u4"),
        ("arg1", "u4"),
        ("arg2", "u4"),
    ]
)
"""DebugCapture, 24 bytes; it has no versions. `arg1` is an ifindex or, around the proxy, the
proxy's port in network order, after the subtype (flow.DebugCapturePoint)."""

TRACE_SOCK_HEAD = np.dtype(
    [
        ("type", "u1"),
        ("subtype", "u1"),
        ("protocol", "u1"),
        ("flags", "u1"),
        ("dst_port", "u2"),
        ("pad", "u2"),
        ("cookie", "u8"),
        ("cgroup_id", "u8"),
        ("dst_ip_hi", ">u8"),
        ("dst_ip_lo", ">u8"),
    ]
)
"""TraceSockNotify, 40 bytes; it has no versions and no packet behind it. `subtype` is the
flow.SocketTranslationPoint, `protocol` 1 for TCP and 2 for UDP; `dst_ip` as `orig_ip` above."""

TRACE_SOCK_FLAG_IPV6 = 1

EXTENSION = np.dtype(
    [
        ("time_ns", "u8"),
        ("cgroup_id", "u8"),
        ("location", "u8"),
        ("netns", "u4"),
        ("tgid", "u4"),
        ("tid", "u4"),
        ("drop_reason", "u4"),
        ("connection_state", "u1"),
        ("flags", "u1"),
        ("ethertype", "u2"),
        ("packets", "u4"),
        ("bytes", "u8"),
        ("interface", "S16"),
    ]
)
"""Palomar's extension block, 72 bytes.

- `time_ns`: kernel boot clock (CLOCK_BOOTTIME).
- `cgroup_id`: cgroup v2 id of the socket that owns the packet, 0 where unknown.
- `location`: kernel address of the function that freed the packet (drops).
- `netns`: inode of the network namespace the packet was in, 0 where unknown.
- `tgid`, `tid`: the task on the CPU, where the event happened in that task's own system call.
- `drop_reason`: the running kernel's own number, unlike the stable palomar.v1.KernelDropReason.
- `connection_state`: `ConnectionState`.
- `flags`: `EXTENSION_FLAG_…`.
- `ethertype`: the packet's protocol in host byte order, which L3 devices need.
- `packets`, `bytes`: traffic this event stands for, itself included (aggregation).
- `interface`: name of the device, filled for drops, whose namespace may not be ours.
"""


class ConnectionState(enum.IntEnum):
    """What the kernel-side connection table said about a packet."""

    UNKNOWN = 0
    NEW = 1
    ESTABLISHED = 2
    REPLY = 3


EXTENSION_FLAG_TASK = 1
"""`tgid` and `tid` are meaningful."""
EXTENSION_FLAG_L3 = 2
"""The packet bytes of a trace message start at the network header, as with DROP_FLAG_L3_DEVICE."""
