"""FlowFilter.source_ip and destination_ip: addresses and CIDR prefixes."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_server.address import parse_address, parse_prefix, prefix_masks
from palomar_server.address_index import AddressIndex
from palomar_server.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from palomar_server.address import Address
    from palomar_server.filters.predicate import Predicate
    from palomar_server.surroundings import Surroundings
    from palomar_server.table import Mask, Rows

_EXACT_BITS = 128


def _parse(field: str, value: str) -> tuple[int, int, Address]:
    """(ip version, prefix length in the 128-bit space, address)."""
    try:
        if "/" in value:
            address, length = parse_prefix(value)
            version = ipaddress.ip_network(value, strict=False).version
        else:
            address, length = parse_address(value), _EXACT_BITS
            version = ipaddress.ip_address(value).version
    except ValueError as error:
        raise InvalidRequest(field, value, "is neither an IP address nor a CIDR prefix") from error
    number = flow_pb2.IPv4 if version == 4 else flow_pb2.IPv6  # noqa: PLR2004 - the IP version
    return number, length, address


def _compile(side: str, values: Sequence[str]) -> Predicate:
    """One look-up for all prefixes of a version and length, however many there are."""
    wanted: dict[tuple[int, int], set[Address]] = {}
    for value in values:
        version, length, address = _parse(f"{side}_ip", value)
        wanted.setdefault((version, length), set()).add(address)
    lookups: list[tuple[int, np.uint64, np.uint64, AddressIndex]] = []
    for (version, length), addresses in wanted.items():
        mask_hi, mask_lo = prefix_masks(length)
        index = AddressIndex({address: [(0, 1)] for address in addresses})
        lookups.append((version, np.uint64(mask_hi), np.uint64(mask_lo), index))

    def predicate(rows: Rows) -> Mask:
        mask: Mask = np.zeros(len(rows), np.bool_)
        his, los, versions = rows[f"{side}_hi"], rows[f"{side}_lo"], rows["ip_version"]
        for version, mask_hi, mask_lo, index in lookups:
            found = index.rows(his & mask_hi, los & mask_lo, his)
            mask |= (found != 0) & (versions == version)
        return mask

    return predicate


def compile_source_ip(flow_filter: flow_pb2.FlowFilter, _: Surroundings) -> Predicate:
    """Flows from one of the addresses."""
    return _compile("source", flow_filter.source_ip)


def compile_destination_ip(flow_filter: flow_pb2.FlowFilter, _: Surroundings) -> Predicate:
    """Flows to one of the addresses."""
    return _compile("destination", flow_filter.destination_ip)
