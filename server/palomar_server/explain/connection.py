"""A connection as a question to columns: which rows are of it, and which tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.payload import MessageType
from palomar_server.address import format_address, parse_address
from palomar_server.errors import InvalidRequest
from palomar_server.table import ICMP_QUOTE, Flag, Kind, Protocol, take

if TYPE_CHECKING:
    from palomar_proto.flow import flow_pb2
    from palomar_server.address import Address
    from palomar_server.table import Mask, Rows

_PROTOCOLS = {
    "TCP": Protocol.TCP,
    "UDP": Protocol.UDP,
    "SCTP": Protocol.SCTP,
    "ICMPv4": Protocol.ICMP,
    "ICMPv6": Protocol.ICMPV6,
    "IGMP": Protocol.IGMP,
    "VRRP": Protocol.VRRP,
}
_WITH_PORTS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
_XLATED, _IP = np.uint8(Flag.XLATED), np.uint8(Flag.IP)


@dataclass(frozen=True, slots=True)
class Connection:
    """Two ends that talk; forward is the direction of the packet in question."""

    source: Address
    destination: Address
    protocol: int
    """IANA number; 0 where not known."""
    source_port: int = 0
    destination_port: int = 0

    def forward(self, rows: Rows) -> Mask:
        """Which packets go the same way, shape (n,). ICMP errors about them are none."""
        return _one_way(self, rows)

    def reverse(self, rows: Rows) -> Mask:
        """Which packets go the other way, shape (n,)."""
        return _one_way(self.turned(), rows)

    def turned(self) -> Connection:
        """The same connection seen from the other end."""
        return Connection(
            self.destination,
            self.source,
            self.protocol,
            self.destination_port,
            self.source_port,
        )

    def between(self, rows: Rows) -> Mask:
        """Which packets are between the same two addresses, whatever else, shape (n,)."""
        mask: Mask = rows["kind"] == Kind.FLOW
        mask &= rows["flags"] & _IP != 0
        there = _is_at(rows, "source", self.source)
        there &= _is_at(rows, "destination", self.destination)
        back = _is_at(rows, "source", self.destination)
        back &= _is_at(rows, "destination", self.source)
        mask &= there | back
        return mask

    def quoted(self, rows: Rows, *, any_ports: bool = False) -> Mask:
        """Which rows are ICMP errors about a packet of this connection, shape (n,).

        Args:
            rows: dtype `FLOW`.
            any_ports: take errors about other packets between the two addresses too.
        """
        mask = is_icmp(rows)
        quotes = rows.view(ICMP_QUOTE)
        mask &= quotes["quoted_protocol"] != 0
        which = mask.nonzero()[0]
        if not which.size:
            return mask
        some = take(rows, which)
        mask[which] = _told(self, some, any_ports=any_ports)
        mask[which] |= _told(self.turned(), some, any_ports=any_ports)
        return mask

    @property
    def words(self) -> dict[str, str]:
        """What may stand in a command that somebody copies: addresses, ports and the protocol."""
        names = {int(number): name.lower() for name, number in _PROTOCOLS.items()}
        return {
            "source": format_address(*self.source),
            "destination": format_address(*self.destination),
            "source_port": str(self.source_port),
            "destination_port": str(self.destination_port),
            "protocol": names.get(self.protocol, str(self.protocol)),
        }


def _one_way(connection: Connection, rows: Rows) -> Mask:
    # Ports first: they leave the fewest rows.
    mask: Mask = rows["protocol"] == connection.protocol
    mask &= rows["kind"] == Kind.FLOW
    if connection.protocol in _WITH_PORTS:
        mask &= rows["source_port"] == connection.source_port
        mask &= rows["destination_port"] == connection.destination_port
    which = mask.nonzero()[0]
    if which.size:
        some = take(rows, which)
        same = _is_at(some, "destination", connection.destination)
        xlated = _is_at(some, "source_xlated", connection.source) & (some["flags"] & _XLATED != 0)
        same &= _is_at(some, "source", connection.source) | xlated
        same &= some.view(ICMP_QUOTE)["quoted_protocol"] * is_icmp(some) == 0
        mask[which] = same
    return mask


def _told(connection: Connection, rows: Rows, *, any_ports: bool) -> Mask:
    """Which ICMP errors are about a packet that goes forward."""
    quotes = rows.view(ICMP_QUOTE)
    mask = _is_at(rows, "destination", connection.source)
    mask &= quotes["quoted_destination_hi"] == np.uint64(connection.destination[0])
    mask &= quotes["quoted_destination_lo"] == np.uint64(connection.destination[1])
    if not any_ports:
        mask &= quotes["quoted_protocol"] == connection.protocol
        mask &= quotes["quoted_source_port"] == connection.source_port
        mask &= quotes["quoted_destination_port"] == connection.destination_port
    return mask


def is_icmp(rows: Rows) -> Mask:
    """Which rows are ICMP packets of either family, shape (n,)."""
    # Those of socket events have no packet; the columns of a quote mean something else there.
    mask: Mask = rows["protocol"] == Protocol.ICMP
    mask |= rows["protocol"] == Protocol.ICMPV6
    mask &= rows["event_type"] != MessageType.TRACE_SOCK
    return mask


def _is_at(rows: Rows, side: str, address: Address) -> Mask:
    mask: Mask = rows[f"{side}_lo"] == np.uint64(address[1])
    mask &= rows[f"{side}_hi"] == np.uint64(address[0])
    return mask


def connection_of_row(row: Rows) -> Connection | None:
    """The connection that a row is of; of an ICMP error the one that it is about.

    Args:
        row: one row, shape (1,).

    Returns:
        None where the row has no addresses.
    """
    if not row["flags"][0] & _IP:
        return None
    quote = row.view(ICMP_QUOTE)[0]
    if is_icmp(row)[0] and quote["quoted_protocol"]:
        return Connection(
            _address(row, "destination"),
            (int(quote["quoted_destination_hi"]), int(quote["quoted_destination_lo"])),
            int(quote["quoted_protocol"]),
            int(quote["quoted_source_port"]),
            int(quote["quoted_destination_port"]),
        )
    return Connection(
        _address(row, "source"),
        _address(row, "destination"),
        int(row["protocol"][0]),
        int(row["source_port"][0]),
        int(row["destination_port"][0]),
    )


def _address(row: Rows, side: str) -> Address:
    return int(row[f"{side}_hi"][0]), int(row[f"{side}_lo"][0])


def connection_of_flow(flow: flow_pb2.Flow) -> Connection | None:
    """The connection of a flow that a client has.

    Returns:
        None where the flow has no addresses.

    Raises:
        InvalidRequest: an address is none.
    """
    if not (flow.IP.source and flow.IP.destination):
        return None
    name = flow.l4.WhichOneof("protocol") or ""
    header = getattr(flow.l4, name) if name in {"TCP", "UDP", "SCTP"} else None
    return Connection(
        _parsed(flow, "source"),
        _parsed(flow, "destination"),
        int(_PROTOCOLS.get(name, 0)),
        header.source_port if header is not None else 0,
        header.destination_port if header is not None else 0,
    )


def _parsed(flow: flow_pb2.Flow, side: str) -> Address:
    text = getattr(flow.IP, side)
    try:
        return parse_address(text)
    except ValueError:
        raise InvalidRequest(f"flow.IP.{side}", text, "is no IP address") from None
