"""What the addresses of decoded packets mean: endpoints, identities, direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_server.endpoints import IDENTITY_WORLD
from palomar_server.flow_message import POINTS_REVERSE
from palomar_server.table import Flag

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.cgroups import Cgroups
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows

# Looked up once: an enumeration member costs as much as a column operation on a small batch.
_IP, _ORIGINAL = np.uint8(Flag.IP), np.uint8(Flag.ORIGINAL)
_DROP, _TRACE_SOCK = int(MessageType.DROP), int(MessageType.TRACE_SOCK)
_REASON_UNKNOWN = int(flow_pb2.TRACE_REASON_UNKNOWN)
_INGRESS, _EGRESS = np.uint8(flow_pb2.INGRESS), np.uint8(flow_pb2.EGRESS)
_IPV6 = int(flow_pb2.IPv6)
_REVERSE = np.zeros(256, np.bool_)
_REVERSE[list(POINTS_REVERSE)] = True
"""By the point of a socket event: whether the pod that made the call is the destination."""
_WORLD = np.uint32(IDENTITY_WORLD)


def enrich(rows: Rows, surroundings: Surroundings, ours: Mask | None = None) -> None:
    """Find the endpoints of both addresses, and from them identities and direction.

    Args:
        rows: n events that have no message of their own.
        surroundings: where endpoints and cgroups are looked up.
        ours: which are of palomar's own programs, shape (n,); None if none are. To those an address
            that nobody owns is the world: they have no identities of their own to tell.
    """
    is_socket = rows["event_type"] == _TRACE_SOCK
    sockets = np.count_nonzero(is_socket) != 0
    if sockets:
        _place_pods(rows, is_socket.nonzero()[0], surroundings.cgroups)
    endpoints = surroundings.endpoints
    count = len(rows)
    # Both sides in one look-up: on a small batch the number of operations is what counts.
    found = endpoints.rows_at(
        np.concatenate((rows["source_hi"], rows["destination_hi"])),
        np.concatenate((rows["source_lo"], rows["destination_lo"])),
        np.concatenate((rows["time_ns"], rows["time_ns"])),
    )
    if sockets:
        # No address is not the address ::, which somebody may own.
        found[np.concatenate(_pods_unknown(rows))] = 0
    identities = endpoints.identities[found]
    if ours is not None:
        identities[(found == 0) & np.concatenate((ours, ours))] = _WORLD
    flags = rows["flags"]
    has_ip = flags & _IP != 0
    if np.count_nonzero(has_ip) != count:
        both = np.concatenate((has_ip, has_ip))
        found *= both
        identities *= both
    rows["source_endpoint"], rows["destination_endpoint"] = found[:count], found[count:]
    for column, identity in (
        ("source_identity", identities[:count]),
        ("destination_identity", identities[count:]),
    ):
        # The event's own identity wins: it is what the datapath decided by.
        given = rows[column]
        if np.count_nonzero(given):
            identity = np.where(given == 0, identity, given)  # noqa: PLW2901 - the same, mended
        rows[column] = identity
    _direct(rows, endpoints.ids[found[:count]], flags & _ORIGINAL)


def without_pod(rows: Rows) -> Mask:
    """Which enriched rows are socket events of a cgroup that belongs to no known pod.

    Returns:
        Shape (n,), dtype bool.
    """
    source, destination = _pods_unknown(rows)
    return source | destination


def _pods_unknown(rows: Rows) -> tuple[Mask, Mask]:
    """Which sources, and which destinations, are pods of socket events that are not known."""
    is_socket = rows["event_type"] == _TRACE_SOCK
    reverse = _REVERSE[rows["event_subtype"]]
    return (
        is_socket & ~reverse & (rows["source_hi"] | rows["source_lo"] == 0),
        is_socket & reverse & (rows["destination_hi"] | rows["destination_lo"] == 0),
    )


def _place_pods(rows: Rows, which: NDArray[np.intp], cgroups: Cgroups) -> None:
    """Put the addresses of the pods that made socket calls where they belong."""
    is_ipv6 = rows["ip_version"][which] == _IPV6
    hi, lo = cgroups.addresses(rows["cgroup_id"][which], is_ipv6)
    reverse = _REVERSE[rows["event_subtype"][which]]
    for side, here in (("source", ~reverse), ("destination", reverse)):
        rows[f"{side}_hi"][which[here]] = hi[here]
        rows[f"{side}_lo"][which[here]] = lo[here]


def _direct(rows: Rows, source_ids: NDArray[np.uint16], original: NDArray[np.uint8]) -> None:
    """Set the direction of the connection, as the endpoint where the event was seen has it.

    A packet whose source is that endpoint goes out; if it is a reply, the connection came in.
    Packets whose source was translated go out in any case. Policy verdicts bring their direction.
    """
    local = rows["local_endpoint_id"]
    # Drops have no reply flag: theirs is the direction of the packet. A trace that cannot say
    # who opened the connection cannot say its direction either, and no other event can.
    known = rows["event_type"] == _DROP
    known |= rows["trace_reason"] != _REASON_UNKNOWN
    known &= local != 0
    incoming = (source_ids == local) == (rows["is_reply"] == 1)
    if np.count_nonzero(original):
        incoming &= original == 0
    rows["direction"] |= np.where(incoming, _INGRESS, _EGRESS) * known
