"""Serialised flows, put together from parts that are kept.

Hardly two rows of a busy node are equal, but what they are made of is: the two ends, the headers,
what was seen and why it was dropped. Each part of a flow depends on a few columns, is built as
protobuf once for each content of these, and kept; a flow is its parts one behind the other, since
protobuf fields may stand in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server import flow_message
from palomar_server.network_headers import plain_network
from palomar_server.port_headers import PortHeaders
from palomar_server.table import FLOW, Flag, take

if TYPE_CHECKING:
    from collections.abc import Callable

    from palomar_server.flow_mask import FlowMask
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows

    _WritePart: TypeAlias = Callable[[Any, Surroundings], bytes | None]
    _SetPart: TypeAlias = Callable[[flow_pb2.Flow, Any, Surroundings], None]

KEPT_MAX = 32_768
"""Contents kept of each part and generation, some 300 bytes each: as many again of those before."""
MASKED_KEPT_MAX = 1_024
"""The same for each field mask: every stream may bring one of its own."""

_FORMATS = {name: FLOW.fields[name][0] for name in FLOW.names or ()}  # type: ignore[index]
_DROPPED = np.uint8(flow_pb2.DROPPED)
_POLICY_VERDICT = np.uint8(MessageType.POLICY_VERDICT)


@dataclass(frozen=True, slots=True)
class Part:
    """Some fields of a flow."""

    fields: frozenset[str]
    """Which: nobody else sets them."""
    columns: tuple[str, ...]
    """Everything that decides on them."""
    build: _SetPart
    flags: int = 0
    """Bits of the column `flags` that decide on them, too."""
    write: _WritePart | None = None
    """Gives the part serialised where it is a usual one, else None: quicker than to build it."""
    written: frozenset[str] = frozenset()
    """The only fields that `write` ever sets."""


def _set_manner(flow: flow_pb2.Flow, fields: Any, surroundings: Surroundings) -> None:
    """Set both: of neither are there many."""
    flow_message.set_manner(flow, fields, surroundings)
    flow_message.set_summary(flow, fields, surroundings)


def _set_policy(flow: flow_pb2.Flow, fields: Any, surroundings: Surroundings) -> None:
    """Set what policies are looked up by, look them up, and leave only what was found."""
    endpoint = surroundings.endpoints.endpoint
    whole = flow_pb2.Flow(
        verdict=fields.verdict,
        traffic_direction=fields.direction,
        policy_match_type=fields.policy_match_type,
        source=flow_pb2.Endpoint(
            ID=endpoint(fields.source_endpoint).id, identity=fields.source_identity
        ),
        destination=flow_pb2.Endpoint(
            ID=endpoint(fields.destination_endpoint).id, identity=fields.destination_identity
        ),
    )
    # Nobody asks for the rest of the header here.
    for name in ("source_port", "tcp_flags", "igmp_group", "vrrp_vrid", "vrrp_priority"):
        setattr(fields, name, 0)
    for build in (flow_message.set_l4, flow_message.set_drop, flow_message.set_policy):
        build(whole, fields, surroundings)
    for name in _POLICY.fields:
        getattr(flow, name).MergeFrom(getattr(whole, name))


_SOURCE = Part(
    frozenset({"source"}), ("source_endpoint", "source_identity"), flow_message.set_source
)
_DESTINATION = Part(
    frozenset({"destination"}),
    ("destination_endpoint", "destination_identity"),
    flow_message.set_destination,
)
_NETWORK = Part(
    frozenset({"ethernet", "IP", "tunnel", "source_names", "destination_names"}),
    (
        *("source_hi", "source_lo", "destination_hi", "destination_lo"),
        *("source_xlated_hi", "source_xlated_lo", "ip_version", "event_type", "event_subtype"),
        *("source_mac", "destination_mac", "source_endpoint", "destination_endpoint"),
        *("tunnel_protocol", "tunnel_vni", "tunnel_source_port", "tunnel_destination_port"),
        *("tunnel_source_hi", "tunnel_source_lo", "tunnel_ip_version"),
        *("tunnel_destination_hi", "tunnel_destination_lo"),
    ),
    flow_message.set_network,
    Flag.ETHERNET | Flag.IP | Flag.ENCRYPTED | Flag.XLATED,
    plain_network,
    frozenset({"ethernet", "IP"}),
)
_SERVICES = Part(
    frozenset({"source_service", "destination_service"}),
    (
        *("source_hi", "source_lo", "destination_hi", "destination_lo"),
        *("source_port", "destination_port"),
    ),
    flow_message.set_services,
    int(Flag.IP),
)
_HEADER = Part(
    frozenset({"l4"}),
    (
        *("protocol", "source_port", "destination_port", "tcp_flags", "icmp_type", "icmp_code"),
        *("igmp_group", "vrrp_vrid", "vrrp_priority", "event_type"),
    ),
    flow_message.set_l4,
    int(Flag.L4),
)
_MANNER = Part(
    frozenset(
        {
            *("verdict", "Type", "traffic_direction", "trace_observation_point", "trace_reason"),
            *("proxy_port", "policy_match_type", "auth_type", "event_type", "is_reply", "reply"),
            *("interface", "ip_trace_id", "debug_capture_point", "sock_xlate_point"),
            *("socket_cookie", "cgroup_id", "Summary"),
        }
    ),
    (
        *("verdict", "direction", "observation_point", "trace_reason", "proxy_port"),
        *("policy_match_type", "auth_type", "event_type", "event_subtype", "is_reply"),
        *("interface", "ip_trace_id", "ip_trace_option", "socket_cookie", "cgroup_id"),
        *("protocol", "tcp_flags", "icmp_type", "icmp_code", "icmp_mtu", "ip_version"),
        *("drop_reason", "drop_site"),
    ),
    _set_manner,
    Flag.ETHERNET | Flag.IP | Flag.L4 | Flag.MTU,
)
_DROP = Part(
    frozenset({"drop_reason", "drop_reason_desc", "file"}),
    ("event_type", "verdict", "drop_reason", "drop_file", "drop_line", "drop_site"),
    flow_message.set_drop,
)
_POLICY = Part(
    frozenset(
        {
            *("ingress_allowed_by", "ingress_denied_by", "egress_allowed_by", "egress_denied_by"),
            "policy_log",
        }
    ),
    (
        *("source_endpoint", "source_identity", "destination_endpoint", "destination_identity"),
        *("event_type", "verdict", "drop_reason", "direction", "policy_match_type"),
        *("protocol", "destination_port", "icmp_type", "icmp_code"),
    ),
    _set_policy,
    int(Flag.L4),
)
PARTS = (*(_SOURCE, _DESTINATION, _NETWORK, _SERVICES, _HEADER, _MANNER, _DROP, _POLICY),)


class FlowParts:
    """Makes the serialised flows of rows, without time, uuid and what tells of the node.

    Args:
        surroundings: the tables that rows point into.
        mask: which fields are wanted; None is all.
        keeps: whether parts are kept for later rows.
    """

    def __init__(
        self, surroundings: Surroundings, mask: FlowMask | None = None, *, keeps: bool = True
    ) -> None:
        self._surroundings = surroundings
        self._kept = [
            KeptPart(part, surroundings, mask, keeps=keeps)
            for part in PARTS
            if mask is None or mask.wants_some_of(part.fields)
        ]
        self._ports = PortHeaders() if mask is None or mask.wants("l4") else None

    def of(self, rows: Rows) -> list[tuple[bytes, ...]]:
        """The parts of the flows of `rows`, dtype `FLOW`, all without messages of their own."""
        columns: list[list[bytes]] = []
        for kept in self._kept:
            if kept.is_always_there:
                columns.append(kept.of(rows))
            elif kept.part is _HEADER and self._ports is not None:
                has_ports = self._ports.has(rows)
                _add(columns, has_ports, rows, self._ports.of)
                _add(columns, ~has_ports, rows, kept.of)
            elif kept.part is _DROP:
                # Of rows that do not have the part not even its key is worth its price.
                _add(columns, rows["verdict"] == _DROPPED, rows, kept.of)
            elif kept.part is _POLICY:
                _add(columns, rows["event_type"] == _POLICY_VERDICT, rows, kept.of)
            elif kept.part is not _SERVICES or self._surroundings.names.services:
                columns.append(kept.of(rows))
        return list(zip(*columns, strict=True)) if columns else [()] * len(rows)


def _add(
    columns: list[list[bytes]], mask: Mask, rows: Rows, make: Callable[[Rows], list[bytes]]
) -> None:
    """Add a part that some rows have, if any do, and nothing for the others."""
    which = mask.nonzero()[0]
    if len(which) == len(rows):
        columns.append(make(rows))
    elif len(which):
        parts = [b""] * len(rows)
        for index, made in zip(which.tolist(), make(take(rows, which)), strict=True):
            parts[index] = made
        columns.append(parts)


class KeptPart:
    """One part of all flows there were lately.

    Args:
        part: which.
        surroundings: the tables that rows point into.
        mask: which fields are wanted; None is all.
        keeps: whether it is kept for later rows.
    """

    def __init__(
        self,
        part: Part,
        surroundings: Surroundings,
        mask: FlowMask | None = None,
        *,
        keeps: bool = True,
    ) -> None:
        self.part = part
        self._surroundings = surroundings
        self._mask = None if mask is None else mask.among(part.fields)
        self.is_always_there = bool(self._mask and self._mask.of(flow_pb2.Flow()).ByteSize())
        """Whether even flows without this part have something of it: messages on the way to fields
        that the mask wants."""
        # What it writes needs no mask where all of that is wanted.
        self._write = (
            part.write
            if self._mask is None
            or (not self.is_always_there and all(map(self._mask.wants, part.written)))
            else None
        )
        self._most = (KEPT_MAX if mask is None else MASKED_KEPT_MAX) if keeps else 1
        self._names = (*part.columns, "flags") if part.flags else part.columns
        self._key = np.dtype([(name, _FORMATS[name]) for name in self._names])
        self._opaque = np.dtype((np.void, self._key.itemsize))
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    def of(self, rows: Rows) -> list[bytes]:
        """This part of each row, serialised."""
        packed = np.empty(len(rows), self._key)
        for name in self.part.columns:
            packed[name] = rows[name]
        if self.part.flags:
            packed["flags"] = rows["flags"] & np.uint8(self.part.flags)
        keys = cast("list[bytes]", packed.view(self._opaque).tolist())
        found = list(map(self._young.get, keys))
        if None not in found:
            return cast("list[bytes]", found)
        return [
            self._make(key, packed[index]) if kept is None else kept
            for index, (key, kept) in enumerate(zip(keys, found, strict=True))
        ]

    def _make(self, key: bytes, columns: Any) -> bytes:
        kept = self._old.get(key)
        if kept is None:
            # The same key may stand in the batch more than once.
            kept = self._young.get(key)
        if kept is None:
            # Only what decides on this part: whatever else it read would be missing.
            fields = SimpleNamespace(**dict(zip(self._names, columns.item(), strict=True)))
            if self._write is not None:
                kept = self._write(fields, self._surroundings)
        if kept is None:
            flow = flow_pb2.Flow()
            self.part.build(flow, fields, self._surroundings)
            kept = (flow if self._mask is None else self._mask.of(flow)).SerializeToString()
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[key] = kept
        return kept
