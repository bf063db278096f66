"""What a caller of Hubble's Recorder asks for, in the terms of our own recordings.

Rules and texts of refusals are Hubble's (its `filterToRecorderTuple` and prefix check).
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import TYPE_CHECKING

from palomar_proto.palomar.v1 import recordings_pb2
from palomar_server.errors import InvalidRequest, RequestError

if TYPE_CHECKING:
    from palomar_proto.recorder import recorder_pb2

DEFAULT_PREFIX = "hubble"
DEFAULT_SNAPLEN_BYTES = 65_535
_PREFIX = re.compile(r"[a-z][a-z0-9]{0,19}")
_PORT_MAX = 65_535
_MAPPED_BITS = 96
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class StockRefusal(InvalidRequest):
    """The request breaks a rule of Hubble's Recorder; the text is Hubble's."""

    def __init__(self, text: str) -> None:
        # Not the base's own form of text.
        RequestError.__init__(self, text)


def stock_prefix(start: recorder_pb2.StartRecording) -> str:
    """The begin of the file's name.

    Raises:
        StockRefusal: it is not allowed.
    """
    prefix = start.filesink.file_prefix or DEFAULT_PREFIX
    if not _PREFIX.fullmatch(prefix):
        raise StockRefusal(f"invalid file sink prefix: {_quoted(prefix)}")
    return prefix


def stock_filter(start: recorder_pb2.StartRecording) -> recordings_pb2.PacketFilter:
    """The tuples to record, each one way only.

    Raises:
        StockRefusal: there are none, or one is not possible.
    """
    if not start.include:
        raise StockRefusal("need to specify at least one include filter")
    packets = recordings_pb2.PacketFilter(one_way=True)
    for one in start.include:
        source = _network("source", one.source_cidr)
        destination = _network("destination", one.destination_cidr)
        if source.version != destination.version:
            raise StockRefusal(
                f"source ({source}) and destination cidr ({destination}) must be same protocol "
                "version"
            )
        for end, port in (("source", one.source_port), ("destination", one.destination_port)):
            if port > _PORT_MAX:
                raise StockRefusal(f"{end} port {port} out of range")
        packets.tuples.add(
            source_cidr=str(source),
            source_port=one.source_port,
            destination_cidr=str(destination),
            destination_port=one.destination_port,
            protocol=one.protocol,
        )
    return packets


def _network(end: str, text: str) -> _Network:
    """A prefix as Go's net.ParseCIDR takes it: with a length, host bits cleared, mapped is IPv4."""
    address, slash, length = text.partition("/")
    refusal = StockRefusal(
        f"failed to parse {end} cidr {_quoted(text)}: invalid CIDR address: {text}"
    )
    # Python would take a mask for a length, and a zone.
    if not (slash and _LENGTH.fullmatch(length)) or "%" in address:
        raise refusal
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise refusal from error
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((int(mapped), network.prefixlen - _MAPPED_BITS))
    return network


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
