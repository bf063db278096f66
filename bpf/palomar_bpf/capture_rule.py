"""Which packets the kernel is to hand over.

The server makes these of what recordings ask for; `palomar_bpf.packet_capture` gives them to the
programs in programs/record.c.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

RULES_MAX = 256
"""Rules that may be active at once: their numbers are 0 to 255. RULES_MAX of programs/rules.h."""
RULE_WORDS = RULES_MAX // 64
"""64-bit words of a set of rules."""
RULE_NUMBERS_MAX = 8192
"""Different ports, protocols and interfaces that all active rules together may name."""
RULE_NETWORKS_MAX = 65_536
"""Different networks, of sources and of destinations, that all active rules together may name."""
PACKET_SNAPLEN_BYTES_MAX = 65_528 - 12 - 136
"""Most bytes of one packet: 65,380. A perf record tells its length, a multiple of 8, in 16 bits; 12
go to its own head and 136 to the rules, the message's head and its extension. RECORD_BYTES_MAX of
programs/record.c."""
DROPPED_PACKET_BYTES_MAX = 16_384
"""Most bytes of a dropped packet, of which there is only what its buffer has in one piece: at least
all headers. RECORD_DROP_BYTES_MAX of programs/record.c."""


class PacketPoint(enum.Enum):
    """Where a packet can be seen. The values are RECORD_… of programs/rules.h."""

    INGRESS = 0
    """It comes in at an observed interface: at the host's end of a veth what the endpoint sends."""
    EGRESS = 1
    """It leaves through an observed interface."""
    DROP = 2
    """The kernel drops it, for one of the reasons that are reported, at a place that is."""


EVERY_POINT = frozenset(PacketPoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRule:
    """What a packet must be; all that is given must hold. An empty rule takes every packet.

    Addresses, ports and protocol are those of the outermost IP header. A packet has none of them if
    it is not IP or is cut short before them, and fragments but the first have no ports.
    """

    sources: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks, one of which must have the source address."""
    destinations: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks, one of which must have the destination address."""
    source_ports: tuple[int, ...] = ()
    """Of TCP, UDP or SCTP."""
    destination_ports: tuple[int, ...] = ()
    """Of TCP, UDP or SCTP."""
    protocols: tuple[int, ...] = ()
    """IANA protocol numbers; of IPv6 the next header behind the extensions."""
    ifindexes: tuple[int, ...] = ()
    """Interfaces of the host's network namespace; a packet dropped elsewhere is at none of them."""
    points: frozenset[PacketPoint] = EVERY_POINT
    """Where it must be seen."""
