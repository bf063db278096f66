"""Trouble with the size of packets on a connection's path: RFC 1191, RFC 8201."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.palomar.v1 import drop_reason_pb2, explanation_pb2
from palomar_server.address import format_address
from palomar_server.explain.connection import is_icmp
from palomar_server.surroundings import KERNEL_DROP_REASON_BASE
from palomar_server.table import ICMP_QUOTE, Flag, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from palomar_server.explain.connection import Connection
    from palomar_server.explain.window import Window
    from palomar_server.table import Mask, Rows

_FRAGMENTATION_NEEDED = (int(Protocol.ICMP), 3, 4)
_PACKET_TOO_BIG = (int(Protocol.ICMPV6), 2)
_ETHERNET_BYTES = 14
PKT_TOO_BIG = KERNEL_DROP_REASON_BASE + drop_reason_pb2.PKT_TOO_BIG
"""The drop reason whose entry says what to do about the size of packets."""


def told_too_big(rows: Rows) -> Mask:
    """Which rows are ICMP messages that a packet was too big, shape (n,)."""
    protocol, icmp_type = rows["protocol"], rows["icmp_type"]
    version4, type4, code4 = _FRAGMENTATION_NEEDED
    version6, type6 = _PACKET_TOO_BIG
    mask: Mask = (protocol == version4) & (icmp_type == type4) & (rows["icmp_code"] == code4)
    mask |= (protocol == version6) & (icmp_type == type6)
    mask &= is_icmp(rows)
    return mask


def path_mtu_of(
    connection: Connection, window: Window, rows_max: int
) -> tuple[explanation_pb2.PathMtu, bool] | None:
    """What was told about the size of packets between the two ends.

    A path's MTU is that of the two addresses, whatever the ports.

    Args:
        connection: the two ends.
        window: where to look.
        rows_max: packets to look at: the newest of more.

    Returns:
        What was told, and whether it was about this very connection; None if nothing was.
    """
    messages, sequences, _ = window.newest(
        lambda rows: told_too_big(rows) & connection.quoted(rows, any_ports=True), rows_max
    )
    if not len(messages):
        return None
    own = connection.quoted(messages)
    exact = bool(np.count_nonzero(own))
    which = int(own.nonzero()[0][-1]) if exact else len(messages) - 1
    last, quote = messages[which], messages.view(ICMP_QUOTE)[which]
    sender = (int(last["destination_hi"]), int(last["destination_lo"]))
    mtu = int(last["icmp_mtu"])
    forward = connection if sender == connection.source else connection.turned()
    packets, numbers, _ = window.newest(
        lambda rows: forward.forward(rows) & (rows["length_bytes"] > 0), rows_max
    )
    since = np.array(numbers, np.int64) > sequences[0]
    sizes = network_bytes(packets)[since]
    told = explanation_pb2.PathMtu(
        mtu=mtu,
        router=format_address(int(last["source_hi"]), int(last["source_lo"])),
        sender=format_address(*sender),
        destination=format_address(
            int(quote["quoted_destination_hi"]), int(quote["quoted_destination_lo"])
        ),
        messages=len(messages),
        larger_since=int(np.count_nonzero(sizes > mtu)) if mtu else 0,
        largest_since=int(sizes.max()) if len(sizes) else 0,
    )
    return told, exact


def network_bytes(rows: Rows) -> NDArray[np.int64]:
    """Length of packets from their network header on, shape (n,)."""
    framed = rows["flags"] & np.uint8(Flag.ETHERNET) != 0
    sizes: NDArray[np.int64] = rows["length_bytes"].astype(np.int64) - framed * _ETHERNET_BYTES
    return sizes


def headline(told: explanation_pb2.PathMtu, *, exact: bool) -> str:
    """What was told, in one sentence."""
    size = f"that at most {told.mtu} bytes get through" if told.mtu else "without saying what fits"
    about = "of this connection" if exact else "of other connections"
    text = (
        f"Path MTU: {told.router} told {told.sender} that packets {about} to {told.destination} "
        f"are too big, {size}"
    )
    if told.larger_since:
        return f"{text}; since then it sent packets of up to {told.largest_since} bytes."
    return f"{text}."
