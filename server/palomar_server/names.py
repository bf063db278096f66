"""Names of addresses that are not endpoints: DNS names and services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from palomar_server.bounded import BoundedMap

if TYPE_CHECKING:
    from palomar_server.address import Address

ANY_PORT = 0
ANY_ENDPOINT = 0
"""Whose names hold for everybody: no endpoint has this id."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service that an address, or an address and port, belongs to."""

    name: str
    namespace: str


class Names:
    """Looks names up by address. Belongs to the agent's thread; others may read.

    Args:
        dns_max: pairs of an endpoint and an address it knows names of.
        services_max: pairs of an address and a port.
    """

    def __init__(self, *, dns_max: int = 262_144, services_max: int = 65_536) -> None:
        self._dns: BoundedMap[tuple[int, Address], tuple[str, ...]] = BoundedMap(dns_max)
        self._services: BoundedMap[tuple[Address, int], Service] = BoundedMap(services_max)

    @property
    def generation(self) -> int:
        """Grows when an address gets other names."""
        return self._dns.generation + self._services.generation

    @property
    def refused(self) -> int:
        """Names and services that found no room."""
        return self._dns.refused + self._services.refused

    @property
    def names(self) -> int:
        """How many pairs of an endpoint and an address have DNS names."""
        return len(self._dns)

    @property
    def services(self) -> int:
        """How many services are known."""
        return len(self._services)

    def dns(self, endpoint_id: int, address: Address) -> tuple[str, ...]:
        """DNS names by which a local endpoint knows an address.

        Which name an address stands for depends on who asked: many share one. Names that somebody
        wrote down for everybody are told where the endpoint itself knows none.
        """
        own = self._dns.get((endpoint_id, address))
        return own or self._dns.get((ANY_ENDPOINT, address)) or ()

    def put_dns(self, endpoint_id: int, address: Address, names: tuple[str, ...] | None) -> None:
        """Set the names an endpoint knows an address by; `ANY_ENDPOINT` for everybody's."""
        self._dns.put((endpoint_id, address), names)

    def service(self, address: Address, port: int) -> Service | None:
        """The service at an address and port."""
        return self._services.get((address, port)) or self._services.get((address, ANY_PORT))

    def put_service(self, address: Address, port: int, service: Service | None) -> None:
        """Set the service at an address and port; `ANY_PORT` for all ports without their own."""
        self._services.put((address, port), service)
