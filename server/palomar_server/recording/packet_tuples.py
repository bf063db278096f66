"""PacketTuple: packets by addresses, ports and protocol of their outermost headers."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palomar_bpf.capture_rule import CaptureRule
from palomar_proto.flow_filter.address import read_prefix
from palomar_server.address import MAPPED_PREFIX_BITS, MAPPED_PREFIX_LO, prefix_masks
from palomar_server.errors import InvalidRequest
from palomar_server.recording.packet_headers import read_headers
from palomar_server.table import Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from palomar_proto.palomar.v1.recordings_pb2 import PacketTuple
    from palomar_recorder.packets import Packets
    from palomar_server.recording.networks import Network
    from palomar_server.recording.packet_headers import PacketHeaders
    from palomar_server.table import Mask

_PORT_MAX = 65_535
_PROTOCOL_MAX = 255
_WITH_PORTS = frozenset({int(Protocol.TCP), int(Protocol.UDP), int(Protocol.SCTP)})
_IPV4 = 4
_IPV4_BITS = 32
_MAPPED_TOP = MAPPED_PREFIX_LO >> _IPV4_BITS


class PacketTuples:
    """Tuples as alternatives.

    Args:
        tuples: one at least.
        field: their place in the request, for errors.

    Raises:
        InvalidRequest: a value breaks its rule.
    """

    def __init__(self, tuples: Iterable[PacketTuple], field: str = "tuples") -> None:
        self._tuples = [_parse(one, f"{field}[{index}]") for index, one in enumerate(tuples)]

    def rules(self) -> list[CaptureRule]:
        """Rules that select exactly these packets, as alternatives."""
        return [one.rule() for one in self._tuples]

    def mask(self, packets: Packets) -> Mask:
        """Which packets match, shape (n,)."""
        headers = read_headers(packets)
        mask: Mask = np.zeros(len(packets), np.bool_)
        for one in self._tuples:
            mask |= one.mask(headers)
        return mask


@dataclass(frozen=True, slots=True)
class _Tuple:
    source: Network | None
    source_port: int
    destination: Network | None
    destination_port: int
    protocol: int

    def rule(self) -> CaptureRule:
        return CaptureRule(
            sources=() if self.source is None else (self.source,),
            destinations=() if self.destination is None else (self.destination,),
            source_ports=(self.source_port,) if self.source_port else (),
            destination_ports=(self.destination_port,) if self.destination_port else (),
            protocols=(self.protocol,) if self.protocol else (),
        )

    def mask(self, headers: PacketHeaders) -> Mask:
        mask: Mask = np.ones(len(headers.version), np.bool_)
        if self.protocol:
            mask &= headers.protocol == self.protocol
            mask &= headers.version != 0
        for port, ports in (
            (self.source_port, headers.source_port),
            (self.destination_port, headers.destination_port),
        ):
            if port:
                mask &= ports == port
                mask &= headers.has_ports
        for network, hi, lo in (
            (self.source, headers.source_hi, headers.source_lo),
            (self.destination, headers.destination_hi, headers.destination_lo),
        ):
            if network is not None:
                mask &= _lies_in(network, hi, lo)
                mask &= headers.version == network.version
        return mask


def _lies_in(network: Network, hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> Mask:
    number, length = int(network.network_address), network.prefixlen
    if network.version == _IPV4:
        number, length = number | MAPPED_PREFIX_LO, length + MAPPED_PREFIX_BITS
    mask_hi, mask_lo = prefix_masks(length)
    found: Mask = hi & np.uint64(mask_hi) == np.uint64(number >> 64)
    found &= lo & np.uint64(mask_lo) == np.uint64(number & mask_lo)
    return found


def _parse(given: PacketTuple, where: str) -> _Tuple:
    source = _network(given.source_cidr, f"{where}.source_cidr")
    destination = _network(given.destination_cidr, f"{where}.destination_cidr")
    if source and destination and source.version != destination.version:
        rule = f"is not of the IP version of source_cidr {given.source_cidr!r}"
        raise InvalidRequest(f"{where}.destination_cidr", given.destination_cidr, rule)
    if given.protocol > _PROTOCOL_MAX:
        rule = f"is no IANA protocol number from 0 to {_PROTOCOL_MAX}"
        raise InvalidRequest(f"{where}.protocol", given.protocol, rule)
    for name in ("source_port", "destination_port"):
        port = getattr(given, name)
        if port > _PORT_MAX:
            rule = f"is no port number from 0 to {_PORT_MAX}"
            raise InvalidRequest(f"{where}.{name}", port, rule)
        if port and given.protocol and given.protocol not in _WITH_PORTS:
            rule = f"is given for protocol {given.protocol}; 6, 17 and 132 have ports"
            raise InvalidRequest(f"{where}.{name}", port, rule)
    return _Tuple(source, given.source_port, destination, given.destination_port, given.protocol)


def _network(text: str, field: str) -> Network | None:
    """A network, or None for any; an address counts as a network of one."""
    if not text:
        return None
    try:
        if "/" not in text:
            text += "/32" if ":" not in text else "/128"
        prefix = read_prefix(text)
    except ValueError as error:
        raise InvalidRequest(field, text, f"is no CIDR prefix: {error}") from None
    if prefix.version == _IPV4:
        return ipaddress.IPv4Network((prefix.network, prefix.length))
    if prefix.length >= MAPPED_PREFIX_BITS and prefix.network >> _IPV4_BITS == _MAPPED_TOP:
        rule = "is of IPv4 addresses; write them as such"
        raise InvalidRequest(field, text, rule)
    return ipaddress.IPv6Network((prefix.network, prefix.length))
