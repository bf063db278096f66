"""Fakes for tests of hooks, palomar's and its users'.

`FakeServer` is what OnServerInit gets; batches come from `palomar_server.testing`.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from palomar_server.hooks.server import HookServer
from palomar_server.settings import Settings
from palomar_server.testing import Core


class FakeServer(HookServer):
    """A `Server` around a ring and tables that a test fills.

    Args:
        core: has them; one of its own by default.
        settings: what the daemon was told; the defaults unless told otherwise.
    """

    def __init__(self, core: Core | None = None, settings: Settings | None = None) -> None:
        self.core = Core() if core is None else core
        self.registry = CollectorRegistry()
        """Holds what hooks have registered."""
        super().__init__(
            Settings() if settings is None else settings,
            self.core.ring,
            self.core.surroundings,
            self.core.encoder.node_name,
            self.registry.register,
        )


class FakeSeconds:
    """A monotonic clock that stands still until it is told to go on: makes a hook slow."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """Seconds since it was made."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Go on by so many seconds."""
        self._now_s += seconds
