"""Random rows of the flow table without messages, and tables that know some of what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address
from palomar_server.policies import PolicyEntry, PolicyKey
from palomar_server.table import FLOW, Flag, Protocol
from palomar_server.testing import START_NS
from tests.server.filters import random_events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.descriptor import Descriptor

    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Rows

POLICY_NAME = ("k8s:io.cilium.k8s.policy.name=allow-web",)
_ADDRESSES = [parse_address(address) for address in random_events.ADDRESSES]
_HIGH, _LOW = (tuple({address[half] for address in _ADDRESSES}) for half in (0, 1))
_ENDS = ("source", "destination")
_PORTS = (0, 1, 53, 80, 127, 128, 16_383, 16_384, 65_535)
_SITES = 2


def surroundings() -> Surroundings:
    """Tables with a few of everything."""
    tables = random_events.surroundings()
    tables.apply({"reasons": {"2": "NETFILTER_DROP"}, "symbols": {"4096": "nft_do_chain"}})
    assert [tables.drop_site(4096, 2), tables.drop_site(0, 9)] == [1, _SITES]
    entry = PolicyEntry((POLICY_NAME,), revision=3, log=("told",))
    for egress in (False, True):
        tables.policies.put(1 + egress, dict.fromkeys(_policy_keys(egress=egress), entry))
    return tables


def _policy_keys(*, egress: bool) -> list[PolicyKey]:
    return [
        PolicyKey(egress, identity, protocol, port)
        for identity in (0, 7)
        for protocol, port in ((0, 0), (Protocol.TCP, 80), (Protocol.TCP, 0), (Protocol.ICMP, 8))
    ]


POOLS: dict[str, Sequence[int]] = {
    "time_ns": (START_NS, START_NS + 1),
    **{
        f"{end}_{half}": _HIGH if half == "hi" else _LOW
        for end in (*_ENDS, "source_xlated")
        for half in ("hi", "lo")
    },
    **{f"{end}_endpoint": range(len(random_events.ENDPOINTS) + 1) for end in _ENDS},
    **{f"{end}_identity": random_events.IDENTITIES for end in _ENDS},
    **{f"{end}_port": _PORTS for end in _ENDS},
    "interface": range(3),
    "drop_site": range(_SITES + 1),
    "drop_reason": (0, 133, 181, 1_000, 1_002, 1 << 31, (1 << 32) - 133),
    "icmp_mtu": (0, 1_400),
    "icmp_type": (0, 3, 8, 0x16, 128),
    "icmp_code": (0, 1, 4, 200),
    "tcp_flags": (0, 1, 2, 18, 256, 511),
    "kind": (0,),
    "message": (0,),
    "event_type": (
        *(MessageType.DROP, MessageType.DEBUG_CAPTURE, MessageType.TRACE),
        *(MessageType.POLICY_VERDICT, MessageType.TRACE_SOCK),
    ),
    "event_subtype": (0, 1, 2, 3, 4, 133),
    "verdict": (*range(9), 200),
    "flags": range(256),
    "ip_version": range(3),
    "protocol": (0, 47, *Protocol),
    "direction": range(3),
    "is_reply": (-1, 0, 1),
    "drop_file": (0, 2, 115, 255),
    "policy_match_type": range(8),
    "tunnel_protocol": range(4),
    "tunnel_ip_version": range(3),
}
"""Values of columns; of others, any."""

_PACKET = {"flags": Flag.ETHERNET | Flag.IP | Flag.L4 | Flag.PACKET, "ip_version": 1}
_VERDICT: dict[str, Sequence[int]] = {
    "event_type": (MessageType.POLICY_VERDICT,),
    "flags": (Flag.IP | Flag.L4, Flag.IP),
    "verdict": (flow_pb2.FORWARDED, flow_pb2.DROPPED, flow_pb2.REDIRECTED, flow_pb2.AUDIT),
    "drop_reason": (flow_pb2.POLICY_DENY, flow_pb2.POLICY_DENIED),
    "protocol": (Protocol.TCP, Protocol.ICMP),
    "destination_port": (0, 80),
    "icmp_type": (0, 8),
    "source_identity": (0, 7),
    "destination_identity": (0, 7),
    "source_endpoint": (0, 1, 4),
    "destination_endpoint": (0, 1, 4),
    "direction": (flow_pb2.INGRESS, flow_pb2.EGRESS),
}
KINDS: tuple[Mapping[str, Sequence[int]], ...] = (
    {},
    {name: (value,) for name, value in _PACKET.items()},
    {"event_type": (MessageType.DROP,), "verdict": (flow_pb2.DROPPED,)},
    _VERDICT,
)
"""What narrows the pools, so that what many columns have to agree on happens often."""


def _column(name: str, pools: Mapping[str, Sequence[int]]) -> st.SearchStrategy[Any]:
    if name in pools:
        return st.sampled_from([int(value) for value in pools[name]])
    base, shape = (FLOW[name].subdtype or (FLOW[name], ()))[:2]
    limits = np.iinfo(base)
    value = st.sampled_from((0, 1)) | st.integers(int(limits.min), int(limits.max))
    return st.tuples(*[value] * shape[0]) if shape else value


_ROWS = [
    st.tuples(*(_column(name, {**POOLS, **kind}) for name in FLOW.names or ())) for kind in KINDS
]


@st.composite
def alike_rows(draw: st.DrawFn) -> Rows:
    """A row, those that differ from it in one column each, and the row again.

    A cache that leaves a column out of its key gives one of them what belongs to another.
    """
    strategy = draw(st.sampled_from(_ROWS))
    one, other = draw(strategy), draw(strategy)
    count = len(one)
    changed = [(*one[:index], other[index], *one[index + 1 :]) for index in range(count)]
    rows: Rows = np.array([one, *changed, other, one], FLOW)
    # Cilium tells of sockets of these protocols only.
    is_socket = rows["event_type"] == MessageType.TRACE_SOCK
    is_socket &= ~np.isin(rows["protocol"], (Protocol.TCP, Protocol.UDP))
    rows["flags"][is_socket] &= np.uint8(0xFF & ~Flag.L4)
    return rows


def _paths(message: Descriptor, prefix: str = "", depth: int = 3) -> list[str]:
    paths: list[str] = []
    for field in message.fields:
        path = prefix + field.name
        paths.append(path)
        if depth and field.message_type is not None and not field.is_repeated:
            paths.extend(_paths(field.message_type, f"{path}.", depth - 1))
    return paths


def mask_paths() -> st.SearchStrategy[list[str]]:
    """Paths of a valid mask of a flow, at least one."""
    return st.lists(st.sampled_from(_paths(flow_pb2.Flow.DESCRIPTOR)), min_size=1, max_size=6)
