"""What a hook may use of the daemon that runs it: handed to OnServerInit, and good for the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.registry import Collector

    from palomar_server.endpoints import Endpoint
    from palomar_server.settings import Settings
    from palomar_server.surroundings import DropSite, Interface, Surroundings
    from palomar_server.table import Rows


class RingReader(Protocol):
    """The last events of this node; see `ring.Ring`, which is one, for how to read it safely."""

    @property
    def oldest(self) -> int:
        """The lowest sequence number that is still there."""

    @property
    def next(self) -> int:
        """The sequence number that the next event will get."""

    def spans(self, start: int, end: int) -> Iterator[tuple[int, Rows]]:
        """The rows from `start` up to `end` as at most two views, each with its first sequence."""

    def message(self, sequence: int) -> bytes:
        """The message of a row that has one; empty once it is gone."""


class Server(Protocol):
    """The daemon as hooks know it. All of it may be used from the threads that call hooks."""

    @property
    def settings(self) -> Settings:
        """What the daemon was told; frozen."""

    @property
    def node_name(self) -> str:
        """This node as cluster/node: of the payloads' node once they have said it."""

    @property
    def ring(self) -> RingReader:
        """What happened, for hooks that look back."""

    @property
    def generation(self) -> int:
        """Grows when a row of the tables below gets another meaning: for hooks that keep names."""

    def endpoint(self, row: int) -> Endpoint:
        """Pod, namespace, labels of a row's `source_endpoint` or `destination_endpoint`."""

    def interface(self, row: int) -> Interface:
        """Name and ifindex of a row's `interface`."""

    def drop_site(self, row: int) -> DropSite:
        """Reason and kernel function of a row's `drop_site`."""

    def register_collector(self, collector: Collector) -> None:
        """Have a collector of prometheus_client scraped with the daemon's own metrics.

        Its metrics are shown as they are: give their names a prefix of your own.

        Raises:
            ValueError: another collector has a metric of that name.
        """


class HookServer:
    """The `Server` of a daemon.

    Args:
        settings: the daemon's.
        ring: its ring.
        surroundings: the tables that rows refer to.
        node_name: as cluster/node, where payloads do not say which node they are from.
        register_collector: takes collectors into the registry that is served.
    """

    def __init__(
        self,
        settings: Settings,
        ring: RingReader,
        surroundings: Surroundings,
        node_name: str,
        register_collector: Callable[[Collector], None],
    ) -> None:
        self.settings = settings
        self.ring = ring
        self._surroundings = surroundings
        self._node_name = node_name
        self._register_collector = register_collector

    @property
    def node_name(self) -> str:
        """See `Server`."""
        return self._surroundings.node_name or self._node_name

    @property
    def generation(self) -> int:
        """See `Server`."""
        return self._surroundings.generation

    def endpoint(self, row: int) -> Endpoint:
        """See `Server`."""
        return self._surroundings.endpoints.endpoint(row)

    def interface(self, row: int) -> Interface:
        """See `Server`."""
        return self._surroundings.interfaces.value(row)

    def drop_site(self, row: int) -> DropSite:
        """See `Server`."""
        return self._surroundings.drop_sites.value(row)

    def register_collector(self, collector: Collector) -> None:
        """See `Server`."""
        self._register_collector(collector)
