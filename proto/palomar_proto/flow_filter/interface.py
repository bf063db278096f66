"""interface: index and name of the link where a packet was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from palomar_proto.flow import flow_pb2


@dataclass(frozen=True, slots=True)
class InterfacePattern:
    """An index and a name, each exact; 0 and the empty name are any."""

    index: int
    name: str

    def matches(self, index: int, name: str) -> bool:
        """Whether that interface is meant."""
        return self.index in (0, index) and self.name in ("", name)


def parse_interfaces(
    field: str,  # noqa: ARG001 - every parse function takes it
    values: Iterable[flow_pb2.NetworkInterface],
) -> tuple[InterfacePattern, ...]:
    """The interfaces of a field, as alternatives. Every value is valid.

    One that is empty matches every flow that has an interface.
    """
    return tuple(InterfacePattern(value.index, value.name) for value in values)
