"""Names of addresses that are not endpoints: DNS names and services."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palomar_server.address import Address

ANY_PORT = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A service that an address, or an address and port, belongs to."""

    name: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Names:
    """Looks names up by address. Immutable: the inventory gives it at start."""

    dns_names: Mapping[Address, tuple[str, ...]] = field(default_factory=dict)
    services: Mapping[tuple[Address, int], Service] = field(default_factory=dict)
    """By address and port; port 0 is any."""

    def dns(self, address: Address) -> tuple[str, ...]:
        """DNS names of an address."""
        return self.dns_names.get(address, ())

    def service(self, address: Address, port: int) -> Service | None:
        """The service at an address and port."""
        return self.services.get((address, port)) or self.services.get((address, ANY_PORT))
