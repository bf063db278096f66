"""What a flow filter means for the kernel: rules that every packet passes which the filter selects.

Each field says what it can, and a rule has to satisfy all of them:

- `source_ip`, `source_port`, those of the destination, `protocol`, `tcp_flags` and
  `ip_version`: addresses, ports and protocols. The flow of IP in IP is that of the packet
  inside, so those come up, too;
- `source_pod`, `source_label`, `source_workload`, `source_identity`, `source_cluster_name`, those
  of the destination: addresses of the endpoints that match now, unless the world matches, too;
- `interface`: interfaces, but of drops nothing, which can be in any namespace;
- `verdict`, `event_type`, `drop_reason_desc`: the points where packets are seen.

The others are decided by the server alone. A packet whose IP header is broken, of another version
than it is sent as or with a length that is none, has no addresses to the kernel's programs: only
rules without any find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.capture_rule import CaptureRule, PacketPoint
from palomar_bpf.payload import MessageType
from palomar_proto.flow import flow_pb2
from palomar_proto.flow_filter import parse_filter
from palomar_proto.flow_filter.event_type import ANY
from palomar_server.endpoints import IDENTITY_WORLD
from palomar_server.filters.fields import FIELDS
from palomar_server.filters.predicate import FieldFilter
from palomar_server.filters.protocol import NUMBERS
from palomar_server.recording.networks import EVERY_IPV4, EVERY_IPV6, network_of, networks_in
from palomar_server.recording.rule_plan import meet_all
from palomar_server.table import FLOW, Flag, Protocol
from palomar_server.view import View

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from palomar_server.encode import FlowEncoder
    from palomar_server.filters.predicate import Predicate
    from palomar_server.recording.networks import Network
    from palomar_server.surroundings import Surroundings

_TC = frozenset({PacketPoint.INGRESS, PacketPoint.EGRESS})
_DROP = frozenset({PacketPoint.DROP})
_ENCAPSULATED = (4, 41, 94)
"""Protocols of IP in IP: the kernel does not look at the packet inside."""
_ANY = CaptureRule()
_EVERY: dict[int, Network] = {flow_pb2.IPv4: EVERY_IPV4, flow_pb2.IPv6: EVERY_IPV6}
_PORTED = (int(Protocol.TCP), int(Protocol.UDP), int(Protocol.SCTP))
_DECIDED = frozenset({"verdict", "event_type"})
"""Fields about which rules are exact, without subtypes."""
_ENDPOINT_FIELDS = frozenset({"pod", "label", "workload", "identity", "cluster_name"})
_SUBJECT_TO_TIME = frozenset(
    {"interface", *(f"{s}_{f}" for s in ("source", "destination") for f in _ENDPOINT_FIELDS)}
)


class FlowRules:
    """The rules of one flow filter.

    Args:
        flow_filter: one that is valid.
        surroundings: knows the endpoints.
        encoder: knows this node's name.
    """

    def __init__(
        self, flow_filter: flow_pb2.FlowFilter, surroundings: Surroundings, encoder: FlowEncoder
    ) -> None:
        self._surroundings = surroundings
        self._encoder = encoder
        self._parsed: dict[str, Any] = {}
        self._ends: list[tuple[str, Predicate]] = []
        for name, matcher in parse_filter(flow_filter).items():
            self._parsed[name] = matcher.parsed
            side, _, rest = name.partition("_")
            if side in {"source", "destination"} and rest in _ENDPOINT_FIELDS:
                one = FieldFilter(name, *matcher, surroundings, encoder)
                self._ends.append((side, FIELDS[name].compile(one)))

    @property
    def is_exact(self) -> bool:
        """Whether the rules select nothing that the filter does not."""
        if not self._parsed.keys() <= _DECIDED:
            return False
        return all(
            one.sub_type is None and one.type != ANY for one in self._parsed.get("event_type", ())
        )

    @property
    def is_fixed(self) -> bool:
        """Whether the rules stay the same whatever endpoints and interfaces there are."""
        return self._parsed.keys().isdisjoint(_SUBJECT_TO_TIME)

    def rules(self, links: Mapping[int, str]) -> list[CaptureRule]:
        """The rules now, as alternatives.

        Args:
            links: names of the host's interfaces by index.
        """
        rules = [_ANY]
        for name, parsed in self._parsed.items():
            if (field := _FIELDS.get(name)) is not None:
                rules = meet_all(rules, field(name, parsed))
        for side, matches in self._ends:
            rules = meet_all(rules, self._at_end(side, matches))
        if rules and _ANY not in rules:
            rules.append(CaptureRule(protocols=_ENCAPSULATED))
        rules = meet_all(rules, _points(self._parsed))
        if "interface" in self._parsed:
            rules = meet_all(rules, _interfaces(self._parsed["interface"], links))
        return rules

    def _at_end(self, side: str, matches: Predicate) -> list[CaptureRule]:
        """What is known of packets from, or to, endpoints that match."""
        endpoints = self._surroundings.endpoints
        count = len(endpoints)
        # A row for each endpoint, among them nobody, who is the world; and one that is not IP.
        rows = np.zeros(count + 1, FLOW)
        rows[f"{side}_endpoint"][:count] = np.arange(count)
        rows[f"{side}_identity"][:count] = endpoints.identities[:count]
        rows[f"{side}_identity"][0] = IDENTITY_WORLD
        rows["flags"][:count] = Flag.IP
        found = matches(View(rows, 0, lambda _: b"", self._encoder, in_ring=False))
        if found[0] or found[count]:
            return [_ANY]
        addresses = endpoints.addresses_of(found)
        networks = tuple(dict.fromkeys(network_of(*one) for one in addresses))
        return [_by_address(side, networks)] if networks else []


def _by_address(side: str, networks: tuple[Any, ...]) -> CaptureRule:
    if side == "source":
        return CaptureRule(sources=networks)
    return CaptureRule(destinations=networks)


def _address(name: str, parsed: Any) -> list[CaptureRule]:
    networks = networks_in(parsed)
    return [_by_address(name.partition("_")[0], networks)] if networks else []


def _port(name: str, parsed: Any) -> list[CaptureRule]:
    if 0 in parsed:
        # To the kernel's programs a packet without any port but 0 has none.
        return [CaptureRule(protocols=_PORTED)]
    ports = tuple(sorted(parsed))
    if name.startswith("source"):
        return [CaptureRule(source_ports=ports)]
    return [CaptureRule(destination_ports=ports)]


def _protocol(_: str, parsed: Any) -> list[CaptureRule]:
    numbers = sorted(int(NUMBERS[name]) for name in parsed if name in NUMBERS)
    return [CaptureRule(protocols=tuple(numbers))] if numbers else []


def _tcp_flags(_: str, __: Any) -> list[CaptureRule]:
    return [CaptureRule(protocols=(int(Protocol.TCP),))]


def _ip_version(_: str, parsed: Any) -> list[CaptureRule]:
    if not all(version in _EVERY for version in parsed):
        return [_ANY]
    return [CaptureRule(sources=tuple(_EVERY[version] for version in sorted(parsed)))]


def _points(parsed: Mapping[str, Any]) -> list[CaptureRule]:
    """Where packets are seen of which the filter speaks."""
    points = frozenset(PacketPoint)
    if "verdict" in parsed:
        points &= _seen(
            flow_pb2.FORWARDED in parsed["verdict"], flow_pb2.DROPPED in parsed["verdict"]
        )
    if "event_type" in parsed:
        types = {one.type for one in parsed["event_type"]}
        points &= _seen(
            not types.isdisjoint({ANY, int(MessageType.TRACE)}),
            not types.isdisjoint({ANY, int(MessageType.DROP)}),
        )
    if "drop_reason_desc" in parsed and 0 not in parsed["drop_reason_desc"]:
        points &= _DROP
    return [CaptureRule(points=points)] if points else []


def _seen(passing: bool, dropped: bool) -> frozenset[PacketPoint]:  # noqa: FBT001 - both are it
    return (_TC if passing else frozenset()) | (_DROP if dropped else frozenset())


def _interfaces(parsed: Any, links: Mapping[int, str]) -> list[CaptureRule]:
    if any(not one.index and not one.name for one in parsed):
        return [_ANY]
    found = {index for index, name in links.items() for one in parsed if one.matches(index, name)}
    # One of which only the number is asked for need not have its name told yet.
    found.update(one.index for one in parsed if one.index and not one.name)
    rules = [CaptureRule(points=_DROP)]
    if found:
        rules.append(CaptureRule(points=_TC, ifindexes=tuple(sorted(found))))
    return rules


_FIELDS = {
    "source_ip": _address,
    "destination_ip": _address,
    "source_port": _port,
    "destination_port": _port,
    "protocol": _protocol,
    "tcp_flags": _tcp_flags,
    "ip_version": _ip_version,
}
