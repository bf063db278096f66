"""The fields before the packet bytes, by columns: drop, trace, policy verdict, capture, socket.

Layouts: palomar_bpf.payload. What a field means to users follows Hubble's parser.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.payload import (
    DROP_FLAG_GENEVE,
    DROP_FLAG_IPV6,
    DROP_FLAG_L3_DEVICE,
    DROP_FLAG_VXLAN,
    POLICY_FLAG_AUDITED,
    POLICY_FLAG_DIRECTION,
    POLICY_FLAG_IPV6,
    POLICY_FLAG_L3_DEVICE,
    POLICY_FLAG_MATCH_TYPE,
    POLICY_FLAG_MATCH_TYPE_SHIFT,
    REASON_ENCRYPTED,
    TRACE_SOCK_FLAG_IPV6,
    MessageType,
    ObservationPoint,
)
from palomar_proto.flow import flow_pb2
from palomar_server.address import MAPPED_PREFIX_LO
from palomar_server.decode.extension import fill_drop_extension, fill_extension
from palomar_server.decode.gather import gather
from palomar_server.decode.original import Originals, address_columns
from palomar_server.table import Flag, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.decode.arrange import Arrangement
    from palomar_server.decode.layouts import Layout
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows

# Looked up once: an enumeration member costs as much as a column operation on a small batch.
_DROP, _TRACE = int(MessageType.DROP), int(MessageType.TRACE)
_POLICY_VERDICT, _TRACE_SOCK = int(MessageType.POLICY_VERDICT), int(MessageType.TRACE_SOCK)
_TO_PROXY = int(ObservationPoint.TO_PROXY)
_FORWARDED, _DROPPED = int(flow_pb2.FORWARDED), int(flow_pb2.DROPPED)
_REDIRECTED, _AUDIT = int(flow_pb2.REDIRECTED), int(flow_pb2.AUDIT)
_INGRESS, _EGRESS = int(flow_pb2.INGRESS), int(flow_pb2.EGRESS)
_REASON_BITS = 0xFF ^ REASON_ENCRYPTED
# TraceReason of the monitor to flow.TraceReason: one more below 5, 5 is unknown, the rest the same,
# numbers without a name too.
_TRACE_REASONS = np.arange(256, dtype=np.uint8) & _REASON_BITS
_TRACE_REASONS[:6] = _TRACE_REASONS[REASON_ENCRYPTED:][:6] = (1, 2, 3, 4, 5, 0)
# is_reply by monitor reason: 2 is a reply; "unknown" and SRv6 encapsulation do not say.
_IS_REPLY = np.zeros(256, np.int8)
_IS_REPLY[[2, 2 | REASON_ENCRYPTED]] = 1
_IS_REPLY[5:8] = _IS_REPLY[REASON_ENCRYPTED:][5:8] = -1
_ENCRYPTED_FLAG = np.zeros(256, np.uint8)
_ENCRYPTED_FLAG[REASON_ENCRYPTED:] = Flag.ENCRYPTED
# The monitor's 0 is "to endpoint", which is 101 in flow.proto; the others are the same in both.
_OBSERVATION_POINTS = np.arange(256, dtype=np.uint8)
_OBSERVATION_POINTS[0] = flow_pb2.TO_ENDPOINT
_TUNNEL_FLAGS = DROP_FLAG_VXLAN | DROP_FLAG_GENEVE
# A message that sets both flags is taken for VXLAN.
_TUNNELS = np.zeros(256, np.uint8)
_TUNNELS[np.arange(256) & DROP_FLAG_GENEVE != 0] = flow_pb2.Tunnel.GENEVE
_TUNNELS[np.arange(256) & DROP_FLAG_VXLAN != 0] = flow_pb2.Tunnel.VXLAN
_POLICY_INGRESS = 1
# What `arg1` of a capture is, by flow.DebugCapturePoint.
_HAS_IFINDEX, _HAS_PROXY_PORT = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
for _point in ("DELIVERY", "FROM_LB", "AFTER_V46", "AFTER_V64", "SNAT_PRE", "SNAT_POST"):
    _HAS_IFINDEX[flow_pb2.DebugCapturePoint.Value(f"DBG_CAPTURE_{_point}")] = True
for _point in ("PROXY_PRE", "PROXY_POST"):
    _HAS_PROXY_PORT[flow_pb2.DebugCapturePoint.Value(f"DBG_CAPTURE_{_point}")] = True
# By flow.SocketTranslationPoint: the verdict, and whether the address is the source's.
_SOCK_VERDICTS, _SOCK_REVERSE = np.zeros(256, np.uint8), np.zeros(256, np.bool_)
for _way in ("FWD", "REV"):
    for _when, _verdict in (("PRE", flow_pb2.TRACED), ("POST", flow_pb2.TRANSLATED)):
        _name = f"SOCK_XLATE_POINT_{_when}_DIRECTION_{_way}"
        _number = flow_pb2.SocketTranslationPoint.Value(_name)
        _SOCK_VERDICTS[_number] = _verdict
        _SOCK_REVERSE[_number] = _way == "REV"
_MAPPED = np.uint64(MAPPED_PREFIX_LO)
_SOCK_PROTOCOLS = np.zeros(256, np.uint8)
_SOCK_PROTOCOLS[1:3] = (Protocol.TCP, Protocol.UDP)
_SOCK_FLAGS = np.full(256, Flag.IP, np.uint8)
_SOCK_FLAGS[1:3] |= np.uint8(Flag.L4)


@dataclass(slots=True)
class PacketSpans:
    """Where the packet bytes of each row are, and what they start with."""

    start: NDArray[np.int64]
    """Offset of the first packet byte, shape (n,)."""
    end: NDArray[np.int64]
    """Offset behind the last one, shape (n,)."""
    l3: NDArray[np.bool_] | None = None
    """Whether they start at the network header, shape (n,); None if none do."""
    ipv6: NDArray[np.bool_] | None = None
    """For those, whether it is IPv6, shape (n,); None if none do."""
    tunnel: NDArray[np.uint8] | None = None
    """flow.Tunnel.Protocol of packets of a tunnel, shape (n,); None if none are."""
    ours: NDArray[np.bool_] | None = None
    """Whether the payload is of palomar's own programs, shape (n,); None if none are."""
    originals: list[Originals] = field(default_factory=list)
    """Sources before translation, of those rows whose head has room for one."""


def decode_heads(
    arrangement: Arrangement,
    buffer: NDArray[np.uint8],
    rows: Rows,
    received_ns: int,
    surroundings: Surroundings,
) -> PacketSpans:
    """Fill the columns that come from the heads.

    Args:
        arrangement: the payloads.
        buffer: what its offsets point into, padded.
        rows: n zeroed rows to fill, in the order of the arrangement.
        received_ns: UTC, the time of events without their own.
        surroundings: gives meaning to reasons, addresses and links.

    Returns:
        Where each row's packet is; empty spans for those without.
    """
    starts = arrangement.starts
    spans = PacketSpans(starts.copy(), starts.copy())
    fill = _Fill(spans, surroundings)
    rows["time_ns"] = received_ns
    for layout, where in arrangement.groups:
        heads = gather(buffer, starts[where], layout.dtype)
        part = rows[where]
        part["event_type"] = layout.kind
        part["event_subtype"] = heads["subtype"]
        if layout.kind == _TRACE_SOCK:
            _fill_sock(heads, part)
            continue
        spans.start[where] += layout.dtype.itemsize
        spans.end[where] += arrangement.lengths[where]
        part["local_endpoint_id"] = heads["source"]
        part["length_bytes"] = heads["len_orig"]
        if layout.ours:
            fill.bound(heads, where)
            fill_extension(heads["extension"], part, surroundings)
        else:
            part["packets"] = 1
            part["bytes"] = heads["len_orig"]
        if layout.kind == _TRACE:
            fill.trace(heads, layout, part, where)
        elif layout.kind == _DROP:
            fill.drop(heads, layout, part, where)
        elif layout.kind == _POLICY_VERDICT:
            fill.policy_verdict(heads, part, where)
        else:
            fill.capture(heads, part)
    return spans


class _Fill:
    """Fills the columns of the rows `where`, a view of which is `part`, from their heads."""

    def __init__(self, spans: PacketSpans, surroundings: Surroundings) -> None:
        self._spans = spans
        self._surroundings = surroundings

    def bound(self, heads: NDArray[np.void], where: slice) -> None:
        """Bound the packets of our own messages by what the head says was captured.

        Hubble takes all that is there for the packet, and so do we of messages that are not ours.
        """
        if self._spans.ours is None:
            self._spans.ours = np.zeros(len(self._spans.start), np.bool_)
        self._spans.ours[where] = True
        self._spans.end[where] = np.minimum(
            self._spans.end[where], self._spans.start[where] + heads["len_cap"]
        )

    def trace(self, heads: NDArray[np.void], layout: Layout, part: Rows, where: slice) -> None:
        reason, point = heads["reason"], heads["subtype"]
        part["source_identity"] = heads["src_label"]
        part["destination_identity"] = heads["dst_label"]
        part["verdict"] = _FORWARDED
        part["trace_reason"] = _TRACE_REASONS[reason]
        part["is_reply"] = _IS_REPLY[reason]
        part["flags"] = _ENCRYPTED_FLAG[reason]
        part["observation_point"] = _OBSERVATION_POINTS[point]
        part["interface"] = self._surroundings.link_rows(heads["ifindex"])
        to_proxy = point == _TO_PROXY
        if np.count_nonzero(to_proxy):
            part["proxy_port"] = heads["dst_id"] * to_proxy
        flags = heads["flags"]
        flagged = np.count_nonzero(flags) != 0
        if flagged:
            self._mark(flags, where)
        if layout.version:
            ipv6 = flags & DROP_FLAG_IPV6 != 0 if flagged else None
            hi, lo = heads["orig_ip_hi"], heads["orig_ip_lo"]
            self._spans.originals.append(Originals(where, *address_columns(hi, lo, ipv6), flagged))
            if layout.version > 1:
                part["ip_trace_id"] = heads["ip_trace_id"]

    def drop(self, heads: NDArray[np.void], layout: Layout, part: Rows, where: slice) -> None:
        part["source_identity"] = heads["src_label"]
        part["destination_identity"] = heads["dst_label"]
        part["verdict"] = _DROPPED
        part["is_reply"] = -1
        part["drop_reason"] = heads["subtype"]
        part["drop_line"] = heads["line"]
        part["drop_file"] = heads["file"]
        part["drop_ext_error"] = heads["ext_error"]
        if layout.ours:
            fill_drop_extension(heads["extension"], heads["ifindex"], part, self._surroundings)
        if layout.version and layout.version > 1:
            flags = heads["flags"]
            if np.count_nonzero(flags):
                self._mark(flags, where)
            if layout.version > 2:  # noqa: PLR2004 - the version of the layout
                part["ip_trace_id"] = heads["ip_trace_id"]

    def _mark(self, flags: NDArray[np.uint8], where: slice) -> None:
        """Note what the flags of drop and trace messages say of the packets."""
        self._mark_l3(flags & DROP_FLAG_L3_DEVICE != 0, flags & DROP_FLAG_IPV6 != 0, where)
        if np.count_nonzero(flags & _TUNNEL_FLAGS):
            if self._spans.tunnel is None:
                self._spans.tunnel = np.zeros(len(self._spans.start), np.uint8)
            self._spans.tunnel[where] = _TUNNELS[flags]

    def _mark_l3(self, l3: NDArray[np.bool_], ipv6: NDArray[np.bool_], where: slice) -> None:
        if not np.count_nonzero(l3):
            return
        if self._spans.l3 is None or self._spans.ipv6 is None:
            self._spans.l3, self._spans.ipv6 = (
                np.zeros(len(self._spans.start), np.bool_) for _ in range(2)
            )
        self._spans.l3[where] = l3
        self._spans.ipv6[where] = ipv6

    def policy_verdict(self, heads: NDArray[np.void], part: Rows, where: slice) -> None:
        verdict, flags = heads["verdict"], heads["flags"]
        ingress = flags & POLICY_FLAG_DIRECTION == _POLICY_INGRESS
        remote = heads["remote_label"]
        part["source_identity"] = remote * ingress
        part["destination_identity"] = remote * ~ingress
        part["direction"] = np.where(ingress, _INGRESS, _EGRESS)
        allowed = np.where(flags & POLICY_FLAG_AUDITED != 0, _AUDIT, _FORWARDED)
        allowed[verdict > 0] = _REDIRECTED
        denied = verdict < 0
        allowed[denied] = _DROPPED
        part["verdict"] = allowed
        # The first packet of a connection is no reply; of a denied one nothing is known.
        part["is_reply"] = -denied.view(np.int8)
        # Unsigned, as the most negative number has no positive one.
        part["drop_reason"] = (-verdict.astype(np.int64) * denied).astype(np.uint32)
        part["policy_match_type"] = (flags & POLICY_FLAG_MATCH_TYPE) >> POLICY_FLAG_MATCH_TYPE_SHIFT
        part["auth_type"] = heads["auth_type"]
        l3 = flags & POLICY_FLAG_L3_DEVICE != 0
        self._mark_l3(l3, flags & POLICY_FLAG_IPV6 != 0, where)

    def capture(self, heads: NDArray[np.void], part: Rows) -> None:
        point, argument = heads["subtype"], heads["arg1"]
        part["is_reply"] = -1
        part["interface"] = self._surroundings.link_rows(argument * _HAS_IFINDEX[point])
        # 16 bits in network order, in a word that Hubble swaps as a whole.
        part["proxy_port"] = argument.byteswap() * _HAS_PROXY_PORT[point]


def _fill_sock(heads: NDArray[np.void], part: Rows) -> None:
    """Fill socket translations: one address, and the other's cgroup."""
    point, protocol = heads["subtype"], heads["protocol"]
    ipv6 = heads["flags"] & TRACE_SOCK_FLAG_IPV6 != 0
    hi, lo = address_columns(heads["dst_ip_hi"], heads["dst_ip_lo"], ipv6)
    # 0.0.0.0 is an address here.
    lo |= _MAPPED * ~ipv6
    reverse = _SOCK_REVERSE[point]
    port = heads["dst_port"]
    for side, here in (("source", reverse), ("destination", ~reverse)):
        part[f"{side}_hi"], part[f"{side}_lo"] = hi * here, lo * here
        part[f"{side}_port"] = port * here
    part["is_reply"] = -1
    part["verdict"] = _SOCK_VERDICTS[point]
    part["flags"] = _SOCK_FLAGS[protocol]
    part["protocol"] = _SOCK_PROTOCOLS[protocol]
    part["ip_version"] = np.where(ipv6, int(flow_pb2.IPv6), int(flow_pb2.IPv4))
    part["socket_cookie"] = heads["cookie"]
    part["cgroup_id"] = heads["cgroup_id"]
