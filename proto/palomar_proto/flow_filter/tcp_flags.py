"""tcp_flags: flags that have to be set; others may be set besides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from palomar_proto.flow import flow_pb2

FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS")
"""Flags by their bit in the TCP header, FIN being bit 0."""


def flag_bits(flags: flow_pb2.TCPFlags) -> int:
    """The flags that are set, as bits of the TCP header."""
    return sum(1 << bit for bit, name in enumerate(FLAGS) if getattr(flags, name))


def parse_tcp_flags(
    field: str,  # noqa: ARG001 - every parse function takes it
    values: Iterable[flow_pb2.TCPFlags],
) -> frozenset[int]:
    """The flags of each value as bits, as alternatives; 0 matches any TCP flags at all."""
    return frozenset(map(flag_bits, values))
