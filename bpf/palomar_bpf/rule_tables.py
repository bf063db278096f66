"""From rules to the sets of rules that the programs look up.

In go `CaptureRule`s by number; out come keys and sets as the maps of programs/rules.h have them.
Called by `palomar_bpf.rule_maps`. Pure: sets are integers here, bit r for rule r.

A rule may be given several contents; the tables then take every packet that one of them takes, and
perhaps more: those that match by the source of one and the destination of another.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from palomar_bpf.capture_rule import RULE_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from palomar_bpf.capture_rule import CaptureRule

SET_BYTES = 8 * RULE_WORDS
PLAN_BYTES = 10 * SET_BYTES + 8
"""Size of struct record_plan."""

_POINTS = 3
_NUMBER = struct.Struct("=II")
"""kind, value: struct rule_number. The kinds are the positions in `_number_lists`."""
_NETWORK = struct.Struct("=IBB2x16s")
"""prefix_bits, side, version, address: struct rule_network. Side 0 is the source."""
_BITS_BEFORE_ADDRESS = 32
"""Of the key of a network: side, version and padding count as the begin of the address."""
_SNAPLEN = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class RuleTables:
    """What the maps are to hold."""

    points: tuple[int, ...] = (0,) * _POINTS
    """The set of rules for each `PacketPoint`."""
    any_network: tuple[int, ...] = (0, 0)
    """The sets of rules that do not ask for a source, or a destination."""
    any_number: tuple[int, ...] = (0, 0, 0, 0)
    """The sets that do not ask for a source port, destination port, protocol or interface."""
    numbers: Mapping[bytes, int] = field(default_factory=dict)
    """Key of `rule_numbers` -> set of the rules that ask for it."""
    networks: Mapping[bytes, int] = field(default_factory=dict)
    """Key of `rule_networks` -> set of the rules that ask for it or a network around it."""

    def plan(self, enabled: int, snaplen_bytes: int) -> bytes:
        """The value of `record_plans`: struct record_plan.

        Args:
            enabled: The set of the rules that hold.
            snaplen_bytes: How much of a packet is wanted.
        """
        sets = (enabled, *self.points, *self.any_network, *self.any_number)
        return b"".join(map(pack_set, sets)) + _SNAPLEN.pack(snaplen_bytes)


def pack_set(rules: int) -> bytes:
    """A set as struct rule_set has it, on the little-endian machines that live capture knows."""
    return rules.to_bytes(SET_BYTES, "little")


def make_tables(rules: Iterable[tuple[int, CaptureRule]]) -> RuleTables:
    """The tables for rules given as (number, content)."""
    points, any_network, any_number = [0] * _POINTS, [0, 0], [0] * 4
    numbers: defaultdict[bytes, int] = defaultdict(int)
    networks: defaultdict[tuple[int, int], defaultdict[tuple[int, int], int]] = defaultdict(
        lambda: defaultdict(int)
    )
    for number, rule in rules:
        bit = 1 << number
        for point in rule.points:
            points[point.value] |= bit
        for kind, values in enumerate(_number_lists(rule)):
            any_number[kind] |= 0 if values else bit
            for value in values:
                numbers[_NUMBER.pack(kind, value)] |= bit
        for side, wanted in enumerate((rule.sources, rule.destinations)):
            any_network[side] |= 0 if wanted else bit
            for network in wanted:
                networks[side, network.version][_prefix(network)] |= bit
    return RuleTables(
        tuple(points), tuple(any_network), tuple(any_number), dict(numbers), _spread(networks)
    )


def _number_lists(rule: CaptureRule) -> tuple[tuple[int, ...], ...]:
    """What a rule asks of numbers, in the order of NUMBER_… in programs/rules.h."""
    return rule.source_ports, rule.destination_ports, rule.protocols, rule.ifindexes


def _prefix(network: IPv4Network | IPv6Network) -> tuple[int, int]:
    """Length, and the first so many bits of the address as a number."""
    shift = network.max_prefixlen - network.prefixlen
    return network.prefixlen, int(network.network_address) >> shift


def _spread(networks: Mapping[tuple[int, int], Mapping[tuple[int, int], int]]) -> dict[bytes, int]:
    """Give each network also the rules of those around it, as only the narrowest is looked up."""
    found: dict[bytes, int] = {}
    for (side, version), sets in networks.items():
        address_bytes = 4 if version == 4 else 16  # noqa: PLR2004 - of the protocol's name
        lengths = sorted({length for length, _ in sets})
        for length, bits in sets:
            rules = 0
            for shorter in lengths:
                if shorter > length:
                    break
                rules |= sets.get((shorter, bits >> (length - shorter)), 0)
            address = bits << (8 * address_bytes - length)
            key = _NETWORK.pack(
                _BITS_BEFORE_ADDRESS + length, side, version, address.to_bytes(address_bytes, "big")
            )
            found[key] = rules
    return found
