"""palomard put together: source, agent, ring and gRPC server, for as long as it runs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from typing import TYPE_CHECKING

import structlog

from palomar_bpf.settings import CaptureSettings
from palomar_server.address import parse_address
from palomar_server.agent import Agent
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.event_file import EventFileWriter
from palomar_server.filters.compiled import FilterLimits
from palomar_server.grpc_server import GrpcServer
from palomar_server.hooks import Hooks
from palomar_server.inventory import load_inventory
from palomar_server.live import LiveSource
from palomar_server.local_endpoints import LocalEndpoints
from palomar_server.names import Names, Service
from palomar_server.observer import Observer
from palomar_server.pipeline import Pipeline
from palomar_server.replay import ReplaySource
from palomar_server.ring import Ring
from palomar_server.settings import SettingsError
from palomar_server.surroundings import Surroundings
from palomar_server.waker import Waker

if TYPE_CHECKING:
    from palomar_server.inventory import Inventory
    from palomar_server.settings import Settings

log = structlog.get_logger(__name__)

_NS_PER_S = 1_000_000_000
_LIVE_ONLY = frozenset(CaptureSettings.__dataclass_fields__) | {
    *("interface", "netns_directory", "netns_namespace", "cluster_name", "node_name"),
}
"""Settings that only live capture heeds: a recording has its own answers."""


def capture_settings(settings: Settings) -> CaptureSettings:
    """The part of the settings that is the kernel side's.

    Raises:
        SettingsError: a value is not possible; names field and value.
    """
    try:
        return _capture_settings(settings)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _capture_settings(settings: Settings) -> CaptureSettings:
    return CaptureSettings(
        interfaces=settings.interface,
        snaplen_bytes=settings.snaplen_bytes,
        pages_per_cpu=settings.pages_per_cpu,
        coalesce_max_s=settings.coalesce_max_s,
        aggregation=settings.aggregation,
        aggregation_interval_s=settings.aggregation_interval_s,
        aggregation_flags=settings.aggregation_flags,
        connections_max=settings.connections_max,
        interfaces_max=settings.interfaces_max,
        drops=settings.drops,
        ignored_drop_reasons=settings.ignored_drop_reasons,
        attach_method=settings.attach_method,
        trace_rate_per_cpu=settings.trace_rate_per_cpu,
        trace_burst_per_cpu=settings.trace_burst_per_cpu,
        drop_rate_per_cpu=settings.drop_rate_per_cpu,
        drop_burst_per_cpu=settings.drop_burst_per_cpu,
    )


def inventory_names(inventory: Inventory | None) -> Names:
    """DNS names and services of the inventory, by address."""
    if inventory is None:
        return Names()
    return Names(
        {parse_address(ip): names for ip, names in inventory.names.items()},
        {
            (parse_address(ip), port): Service(service.name, service.namespace)
            for service in inventory.services
            for ip in service.ips
            for port in service.ports or (0,)
        },
    )


class Daemon:
    """One palomard.

    Args:
        settings: everything it is told.

    Raises:
        InventoryError: the inventory cannot be used.
        SettingsError: a setting of the kernel side is not possible.
        HookError: a hook cannot be loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        inventory = (
            load_inventory(settings.inventory, entries_max=settings.endpoints_max)
            if settings.inventory
            else None
        )
        node_name = f"{settings.cluster_name}/{settings.node_name}"
        self._source = self._make_source(inventory, node_name)
        endpoints = EndpointTable(
            rows_max=settings.endpoints_max, grace_ns=int(settings.endpoint_grace_s * _NS_PER_S)
        )
        symbol = self._source.symbol if isinstance(self._source, LiveSource) else None
        self._surroundings = Surroundings(endpoints, symbol)
        if inventory is not None and settings.replay is not None:
            # Names for what the recording has none for.
            self._surroundings.apply(self._local_endpoints(inventory).initial())
        self._ring = Ring(settings.ring_capacity)
        self._encoder = FlowEncoder(self._surroundings, inventory_names(inventory), node_name)
        self._hooks = Hooks()
        self._hooks.load(settings.hooks)

    def _make_source(
        self, inventory: Inventory | None, node_name: str
    ) -> LiveSource | ReplaySource:
        settings = self._settings
        if settings.replay is not None:
            if idle := sorted(settings.model_fields_set & _LIVE_ONLY):
                log.warning("settings without effect on a replay", settings=idle)
            return ReplaySource(settings.replay, settings.speed)
        if not settings.live:
            raise SettingsError(
                "nothing to observe: --no-live needs a recording, give --replay FILE"
            )
        return LiveSource(
            capture_settings(settings),
            self._local_endpoints(inventory),
            netns_directory=settings.netns_directory,
            node_name=node_name,
        )

    def _local_endpoints(self, inventory: Inventory | None) -> LocalEndpoints:
        return LocalEndpoints(
            inventory,
            cluster_name=self._settings.cluster_name,
            namespace=self._settings.netns_namespace,
        )

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM, or until the live source fails.

        A replay that has ended leaves the daemon serving what it played.

        Raises:
            CaptureError: live capture is not possible.
            EventFileError: a recording cannot be written, or read.
            OSError: a socket cannot be used.
            SocketInUseError: another daemon serves the socket.
        """
        loop = asyncio.get_running_loop()
        stopping: asyncio.Future[None] = loop.create_future()
        waker = Waker(loop)
        observer = self._observer(waker)
        pipeline = Pipeline(
            self._surroundings, self._hooks, self._encoder, self._ring, waker.notify
        )
        async with contextlib.AsyncExitStack() as resources:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, _stop, stopping)
                resources.callback(loop.remove_signal_handler, number)
            server = GrpcServer(
                observer,
                socket=self._settings.socket,
                socket_mode=self._settings.socket_mode,
                listen=self._settings.listen,
            )
            # The socket's lock first: a second daemon must not touch the kernel.
            server.take_lock()
            resources.push_async_callback(server.stop, self._settings.shutdown_grace_s)
            # Off the loop: closing talks netlink, which has a loop of its own.
            resources.push_async_callback(asyncio.to_thread, self._source.close)
            if isinstance(self._source, LiveSource):
                await asyncio.to_thread(self._source.open)
            event_file = self._open_event_file(resources)
            agent = Agent(
                self._source,
                self._surroundings,
                pipeline,
                self._ring,
                event_file=event_file,
                on_end=lambda error: self._source_ended(error, loop, stopping),
            )
            agent.start()
            resources.push_async_callback(asyncio.to_thread, agent.stop)
            await server.start()
            log.info("serving", socket=str(self._settings.socket), port=server.port)
            try:
                await stopping
            finally:
                observer.stop()
                self._log_end(pipeline, event_file)

    def _observer(self, waker: Waker) -> Observer:
        settings = self._settings
        return Observer(
            self._ring,
            self._encoder,
            self._surroundings,
            waker,
            lost_event_interval_s=settings.lost_event_interval_s,
            streams_max=settings.streams_max,
            filter_limits=FilterLimits(settings.filters_max, settings.filter_values_max),
        )

    def _source_ended(
        self,
        error: Exception | None,
        loop: asyncio.AbstractEventLoop,
        stopping: asyncio.Future[None],
    ) -> None:
        """The source has no more to give; on the agent's thread. With an error the daemon ends."""
        if isinstance(self._source, ReplaySource) and self._source.truncated:
            log.warning("the recording ends in the middle of an event; all before it was played")
        log.info("source ended")
        if error is not None:
            loop.call_soon_threadsafe(_fail, stopping, error)

    def _log_end(self, pipeline: Pipeline, event_file: EventFileWriter | None) -> None:
        """Account for every event of this run."""
        malformed: Counter[str] = Counter()
        for (kind, reason), events in pipeline.malformed.items():
            malformed[f"type {kind}: {reason.name}"] = events
        log.info(
            "stopping",
            flows=self._ring.flows_seen,
            lost={kind.value: events for kind, events in pipeline.lost.items()},
            malformed=dict(malformed),
            refused={
                "endpoints": self._surroundings.endpoints.refused,
                "interfaces": self._surroundings.interfaces.refused,
                "drop sites": self._surroundings.drop_sites.refused,
            },
            hook_errors=self._hooks.errors(),
            not_recorded=event_file.events_lost if event_file is not None else 0,
        )

    def _open_event_file(self, resources: contextlib.AsyncExitStack) -> EventFileWriter | None:
        if self._settings.record_events is None:
            return None
        writer = EventFileWriter(
            self._settings.record_events, self._settings.record_events_max_bytes
        )
        resources.callback(writer.close)
        return writer


def _stop(stopping: asyncio.Future[None]) -> None:
    if not stopping.done():
        stopping.set_result(None)


def _fail(stopping: asyncio.Future[None], error: Exception) -> None:
    if not stopping.done():
        stopping.set_exception(error)
