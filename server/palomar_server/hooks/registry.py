"""All chains of a daemon, and the hooks that were put into them."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, cast

from palomar_server.hooks.chain import DEFAULT_BUDGET_S, Chain, RowChain
from palomar_server.hooks.loading import load_entry_points, load_named
from palomar_server.hooks.requests import BuildFilterChain, GetFlowsChain, ServerInitChain
from palomar_server.table import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from palomar_bpf.batch import PayloadBatch
    from palomar_server.hooks.batch import DeliveryBatch, FlowBatch
    from palomar_server.hooks.figures import HookFigures
    from palomar_server.hooks.points import (
        OnDecodedEvent,
        OnDecodedFlow,
        OnFlowDelivery,
        OnMonitorEvent,
    )
    from palomar_server.table import Mask


def _losses(batch: FlowBatch) -> Mask:
    """Loss notices: what was lost is told, whatever hooks say."""
    mask: Mask = batch.rows["kind"] == Kind.LOST
    return mask


def _subset_payloads(batch: PayloadBatch, mask: Mask) -> PayloadBatch:
    return type(batch)(
        batch.buffer,
        batch.offsets[mask],
        batch.lengths[mask],
        batch.cpus[mask],
        batch.received_ns,
        batch.losses,
    )


class Hooks:
    """All chains. An object may implement several hooks and is registered for each.

    Args:
        budget_s: time a hook may take for a call before it is counted and logged.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        *,
        budget_s: float = DEFAULT_BUDGET_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.server_init = ServerInitChain(budget_s=budget_s, clock=clock)
        self.monitor_event: RowChain[OnMonitorEvent, PayloadBatch] = RowChain(
            lambda hook, batch: hook.on_monitor_event(batch),
            _subset_payloads,
            budget_s=budget_s,
            clock=clock,
        )
        self.decoded_flow: RowChain[OnDecodedFlow, FlowBatch] = RowChain(
            lambda hook, batch: hook.on_decoded_flow(batch),
            lambda batch, mask: batch.take(mask),
            budget_s=budget_s,
            clock=clock,
        )
        self.decoded_event: RowChain[OnDecodedEvent, FlowBatch] = RowChain(
            lambda hook, batch: hook.on_decoded_event(batch),
            lambda batch, mask: batch.take(mask),
            always=_losses,
            budget_s=budget_s,
            clock=clock,
        )
        self.build_filter = BuildFilterChain(budget_s=budget_s, clock=clock)
        self.get_flows = GetFlowsChain(budget_s=budget_s, clock=clock)
        self.flow_delivery: RowChain[OnFlowDelivery, DeliveryBatch] = RowChain(
            lambda hook, batch: hook.on_flow_delivery(batch),
            lambda batch, mask: batch.take(mask),
            always=_losses,
            budget_s=budget_s,
            clock=clock,
        )
        self._chains = {
            "on_server_init": self.server_init,
            "on_monitor_event": self.monitor_event,
            "on_decoded_flow": self.decoded_flow,
            "on_decoded_event": self.decoded_event,
            "on_build_filter": self.build_filter,
            "on_get_flows": self.get_flows,
            "on_flow_delivery": self.flow_delivery,
        }

    def register(self, hook: object, name: str) -> None:
        """Put an object into the chain of every hook it implements.

        Raises:
            TypeError: it implements none.
            ValueError: a chain has a hook of this name.
        """
        chains = [
            chain for method, chain in self._chains.items() if callable(getattr(hook, method, None))
        ]
        if not chains:
            raise TypeError(f"hook {name} has none of {', '.join(self._chains)}")
        for chain in chains:
            cast("Chain[object]", chain).register(hook, name)

    def load(self, names: Iterable[str]) -> None:
        """Import and register hooks named `module:object`: an instance, class or factory.

        Raises:
            HookError: a name cannot be imported, or is no hook; names it and the cause.
        """
        load_named(names, self.register, self._chains)

    def load_entry_points(self, names: Collection[str] | None = None) -> None:
        """Register the hooks that installed distributions offer in the group `palomar.hooks`.

        Sorted by name, and behind those that are there.

        Args:
            names: those wanted; None for all.

        Raises:
            HookError: one cannot be loaded, or is not there; names it and its distribution.
        """
        load_entry_points(names, self.register, self._chains)

    def figures(self) -> dict[tuple[str, str], HookFigures]:
        """What each hook did, by the point's method and the hook's name."""
        return {
            (method, name): figures
            for method, chain in self._chains.items()
            for name, figures in cast("Chain[object]", chain).figures().items()
        }

    def errors(self) -> dict[str, int]:
        """Exceptions of all chains by hook."""
        total: Counter[str] = Counter()
        for (_, name), figures in self.figures().items():
            total[name] += figures.errors
        return dict(+total)
