"""What the kernel's programs select by a rule, said packet by packet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from palomar_server.recording.packet_headers import read_headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from palomar_bpf.capture_rule import CaptureRule, PacketPoint
    from palomar_recorder.packets import Packets
    from palomar_server.recording.networks import Network
    from palomar_server.recording.packet_headers import PacketHeaders
    from palomar_server.table import Mask


def passing(
    rules: Iterable[CaptureRule],
    packets: Packets,
    points: Sequence[PacketPoint],
    ifindexes: Sequence[int],
) -> Mask:
    """Which packets one of the rules selects."""
    headers = read_headers(packets)
    chosen = list(rules)
    return np.array(
        [
            any(_selects(rule, headers, index, points[index], ifindexes[index]) for rule in chosen)
            for index in range(len(packets))
        ],
        np.bool_,
    )


def _selects(
    rule: CaptureRule, headers: PacketHeaders, index: int, point: PacketPoint, ifindex: int
) -> bool:
    version, has_ports = int(headers.version[index]), bool(headers.has_ports[index])
    source = int(headers.source_hi[index]) << 64 | int(headers.source_lo[index])
    destination = int(headers.destination_hi[index]) << 64 | int(headers.destination_lo[index])
    return bool(
        point in rule.points
        and (not rule.ifindexes or ifindex in rule.ifindexes)
        and (not rule.sources or _lies_in(version, source, rule.sources))
        and (not rule.destinations or _lies_in(version, destination, rule.destinations))
        and (not rule.protocols or (version and int(headers.protocol[index]) in rule.protocols))
        and _has_port(rule.source_ports, int(headers.source_port[index]), has_ports)
        and _has_port(rule.destination_ports, int(headers.destination_port[index]), has_ports)
    )


def _has_port(ports: tuple[int, ...], port: int, has_ports: bool) -> bool:  # noqa: FBT001
    return not ports or (has_ports and port in ports)


def _lies_in(version: int, number: int, networks: tuple[Network, ...]) -> bool:
    """Whether an address, as its number in the 128-bit space, lies in a network of its version."""
    if version == 4:
        number &= 0xFFFF_FFFF
    return any(
        one.version == version
        and number >> one.max_prefixlen - one.prefixlen
        == int(one.network_address) >> one.max_prefixlen - one.prefixlen
        for one in networks
    )
