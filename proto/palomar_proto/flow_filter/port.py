"""source_port and destination_port: decimal numbers, of TCP, UDP and SCTP only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.flow_filter.error import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterable

PORT_MAX = 65_535
_DIGITS_MAX = 5


def parse_ports(field: str, values: Iterable[str]) -> frozenset[int]:
    """The ports of a field, as alternatives.

    Only digits count as a number: no sign, no space, no underscore, no other base. Zeros may lead.

    Raises:
        FilterError: a value is no number from 0 to 65535.
    """
    return frozenset(_parse(field, value) for value in values)


def _parse(field: str, value: str) -> int:
    # Stripped first: Python refuses to convert thousands of digits.
    digits = value.lstrip("0") or value[:1]
    if digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX:
        number = int(digits)
        if number <= PORT_MAX:
            return number
    raise FilterError(field, value, f"is no port number from 0 to {PORT_MAX}")
