"""palomard put together: sources, agent, ring and servers, for as long as it runs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import structlog

from palomar_bpf.settings import CaptureSettings
from palomar_server.agent import Agent
from palomar_server.api import Api
from palomar_server.cilium import CiliumSource
from palomar_server.component_settings import capture_settings, decode_options
from palomar_server.encode import FlowEncoder
from palomar_server.endpoints import EndpointTable
from palomar_server.event_file import EventFileWriter
from palomar_server.hooks import Hooks, HookServer
from palomar_server.inventory import load_inventory
from palomar_server.live import LiveSource
from palomar_server.local_endpoints import LocalEndpoints
from palomar_server.metrics import Metrics
from palomar_server.metrics_server import MetricsServer
from palomar_server.monitor_socket import MonitorServer
from palomar_server.pipeline import Pipeline
from palomar_server.recording.dispatcher import Dispatcher
from palomar_server.replay import ReplaySource
from palomar_server.ring import Ring
from palomar_server.settings import SettingsError
from palomar_server.surroundings import Surroundings
from palomar_server.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from palomar_server.grpc_server import GrpcServer
    from palomar_server.observer import Observer
    from palomar_server.recording.recorder import Recorder
    from palomar_server.settings import Settings
    from palomar_server.source import Source

log = structlog.get_logger(__name__)

_NS_PER_S = 1_000_000_000
_SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter while another wants it: streams must not wait for the
agent any longer, which decodes for milliseconds. Python's own 5 ms are for computing."""
_KERNEL_ONLY = frozenset(CaptureSettings.__dataclass_fields__) | {
    *("interface", "netns_directory", "netns_namespace"),
}
"""Settings that only capture from the kernel heeds."""
_NOT_FOR_REPLAY = _KERNEL_ONLY | {"capture", "cluster_name", "node_name"}
"""Settings to which a recording has its own answers."""


class Daemon:
    """One palomard.

    Args:
        settings: everything it is told.
        sources: by their names in the log, instead of those that the settings name: for whoever
            has events of another origin.

    Raises:
        InventoryError: the inventory cannot be used.
        SettingsError: a setting of the kernel side is not possible.
        HookError: a hook cannot be loaded.
    """

    def __init__(self, settings: Settings, sources: Mapping[str, Source] | None = None) -> None:
        self._settings = settings
        inventory = (
            load_inventory(settings.inventory, entries_max=settings.endpoints_max)
            if settings.inventory
            else None
        )
        self._node_name = f"{settings.cluster_name}/{settings.node_name}"
        self._local_endpoints = LocalEndpoints(
            inventory,
            cluster_name=settings.cluster_name,
            namespace=settings.netns_namespace,
        )
        self._live = self._make_live() if settings.live and sources is None else None
        self._replay = (
            ReplaySource(settings.replay, settings.speed)
            if settings.replay is not None and sources is None
            else None
        )
        self._sources = self._name_sources() if sources is None else dict(sources)
        endpoints = EndpointTable(
            rows_max=settings.endpoints_max, grace_ns=int(settings.endpoint_grace_s * _NS_PER_S)
        )
        self._surroundings = Surroundings(endpoints, self._live.symbol if self._live else None)
        self._ring = Ring(settings.ring_capacity, settings.ring_messages_max_bytes)
        self._encoder = FlowEncoder(
            self._surroundings, self._node_name, tuple(sorted(settings.node_labels))
        )
        self._hooks = Hooks(budget_s=settings.hook_budget_s)
        self._api = Api(
            settings,
            self._ring,
            self._encoder,
            self._surroundings,
            hooks=self._hooks,
            node_name=self._node_name,
        )
        self._load_hooks()
        self._metrics = Metrics()

    def _load_hooks(self) -> None:
        self._hooks.load(self._settings.hooks)
        chosen = self._settings.hook_entry_points
        if chosen != ("none",):
            self._hooks.load_entry_points(None if chosen == ("all",) else chosen)

    def _make_live(self) -> LiveSource:
        return LiveSource(
            capture_settings(self._settings),
            self._local_endpoints,
            netns_directory=self._settings.netns_directory,
            node_name=self._node_name,
        )

    def _name_sources(self) -> dict[str, Source]:
        """All sources by their names in the log."""
        settings = self._settings
        sources: dict[str, Source] = {}
        if self._live is not None:
            sources["live"] = self._live
        if settings.cilium_socket is not None:
            _check_not_own(settings.cilium_socket, settings)
            sources["cilium"] = CiliumSource(settings.cilium_socket)
        if self._replay is not None:
            sources["replay"] = self._replay
        if not sources:
            raise SettingsError(
                "nothing to observe: --no-live needs another source, give --cilium-socket PATH or "
                "--replay FILE"
            )
        unheeded = _KERNEL_ONLY if self._replay is None else _NOT_FOR_REPLAY
        if self._live is None and (idle := sorted(settings.model_fields_set & unheeded)):
            log.warning("settings without effect on the source", source=[*sources], settings=idle)
        return sources

    async def run(self) -> None:
        """Serve until SIGINT or SIGTERM, or until the last source fails.

        A replay that has ended leaves the daemon serving what it played.

        Raises:
            CaptureError: live capture is not possible.
            EventFileError: a recording cannot be written, or read.
            OSError: a socket cannot be used.
            SocketInUseError: another daemon serves the socket.
        """
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        loop = asyncio.get_running_loop()
        stopping: asyncio.Future[None] = loop.create_future()
        waker = Waker(loop)
        pipeline = Pipeline(
            self._surroundings,
            self._hooks,
            self._encoder,
            self._ring,
            waker.notify,
            options=decode_options(self._settings),
        )
        agent = Agent(
            self._sources,
            self._surroundings,
            pipeline,
            self._ring,
            on_end=lambda error: self._sources_ended(error, loop, stopping),
        )
        observer = self._api.observer(waker, agent)
        recorder = self._api.recorder()
        async with contextlib.AsyncExitStack() as resources:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, _stop, stopping)
                resources.callback(loop.remove_signal_handler, number)
            server = self._api.server(observer, waker, recorder)
            # The socket's lock first: a second daemon must not touch the kernel.
            server.take_lock()
            resources.push_async_callback(server.stop, self._settings.shutdown_grace_s)
            await self._open_sources(resources)
            event_file = self._open_event_file(resources)
            monitor = self._monitor(agent)
            resources.callback(self._log_end, pipeline, event_file, monitor)
            self._add_metrics(pipeline, observer, server, monitor, event_file)
            self._metrics.add_recordings(recorder.sessions)
            self._hooks.server_init.run(self._hook_server())
            self._start_agent(agent, event_file)
            resources.push_async_callback(asyncio.to_thread, agent.stop)
            await self._start_recorder(recorder, agent, resources)
            if monitor is not None:
                resources.push_async_callback(asyncio.to_thread, monitor.close)
                _listen(monitor)
            await server.start()
            metrics_port = await self._serve_metrics(resources)
            log.info(
                "serving",
                socket=str(self._settings.socket),
                port=server.port,
                metrics_port=metrics_port,
                monitor=str(self._settings.monitor_socket) if monitor is not None else None,
                sources=[*self._sources],
            )
            try:
                await stopping
            finally:
                observer.stop()

    async def _open_sources(self, resources: contextlib.AsyncExitStack) -> None:
        """Open what takes long, and have all sources closed at the end.

        Off the loop: live capture talks netlink, which has a loop of its own.
        """
        for source in self._sources.values():
            resources.push_async_callback(asyncio.to_thread, source.close)
        if self._live is not None:
            await asyncio.to_thread(self._live.open)

    async def _start_recorder(
        self, recorder: Recorder, agent: Agent, resources: contextlib.AsyncExitStack
    ) -> None:
        """Have packets recorded, where there are any, and what was recorded kept in order."""
        if self._live is not None:
            dispatcher = Dispatcher(
                self._live.capture.packets,
                self._surroundings,
                self._encoder,
                apart=agent.apart,
                options=decode_options(self._settings),
                flight_recorder_bytes=self._settings.flight_recorder_bytes,
                flight_snaplen_bytes=self._settings.flight_recorder_snaplen_bytes,
            )
            resources.push_async_callback(asyncio.to_thread, dispatcher.close)
            await asyncio.to_thread(dispatcher.start)
            agent.on_context(dispatcher.context_changed)
            recorder.sessions.connect(dispatcher, agent)
            self._metrics.add_flight_recorder(dispatcher)
        resources.push_async_callback(recorder.close)
        recorder.start_tidying()

    def _start_agent(self, agent: Agent, event_file: EventFileWriter | None) -> None:
        if event_file is not None:
            agent.record(event_file)
        if self._settings.capture == "always":
            # The ring wants all events, whether or not somebody follows.
            agent.acquire(waits=False)
        if self._live is None:
            # Names for what the source has none for.
            agent.take(self._local_endpoints.initial())
        if self._replay is None:
            agent.take({"node_name": self._node_name, "started_ns": time.time_ns()})
        agent.start()

    def _monitor(self, agent: Agent) -> MonitorServer | None:
        settings = self._settings
        if not settings.monitor_clients_max:
            return None
        server = MonitorServer(
            settings.monitor_socket,
            mode=settings.monitor_socket_mode,
            clients_max=settings.monitor_clients_max,
            queue_events=settings.monitor_queue_events,
            queue_bytes=settings.monitor_queue_bytes,
            on_first_client=lambda: agent.add_listener(server),
            on_last_client=lambda: agent.remove_listener(server),
        )
        return server

    def _hook_server(self) -> HookServer:
        return HookServer(
            self._settings,
            self._ring,
            self._surroundings,
            self._node_name,
            self._metrics.registry.register,
        )

    def _add_metrics(
        self,
        pipeline: Pipeline,
        observer: Observer,
        server: GrpcServer,
        monitor: MonitorServer | None,
        event_file: EventFileWriter | None,
    ) -> None:
        metrics = self._metrics
        metrics.add_ring(self._ring)
        metrics.add_pipeline(pipeline)
        metrics.add_surroundings(self._surroundings)
        metrics.add_hooks(self._hooks)
        metrics.add_streams(observer.streams, observer.followers)
        metrics.add_grpc(server)
        if monitor is not None:
            metrics.add_monitor(monitor)
        if event_file is not None:
            metrics.add_event_file(event_file)

    async def _serve_metrics(self, resources: contextlib.AsyncExitStack) -> int | None:
        """Serve metrics where the settings say so; gives the port in use.

        Raises:
            OSError: the address cannot be used; names the setting.
        """
        if self._settings.metrics_listen is None:
            return None
        server = MetricsServer(self._metrics.registry, self._settings.metrics_listen)
        await server.start()
        resources.push_async_callback(server.stop)
        return server.port

    def _sources_ended(
        self,
        error: Exception | None,
        loop: asyncio.AbstractEventLoop,
        stopping: asyncio.Future[None],
    ) -> None:
        """No source has more to give; on an agent's thread. With an error the daemon ends."""
        if self._replay is not None and self._replay.truncated:
            log.warning("the recording ends in the middle of an event; all before it was played")
        log.info("source ended")
        if error is not None:
            loop.call_soon_threadsafe(_fail, stopping, error)

    def _log_end(
        self,
        pipeline: Pipeline,
        event_file: EventFileWriter | None,
        monitor: MonitorServer | None,
    ) -> None:
        """Account for every event of this run, when no more can come."""
        malformed: Counter[str] = Counter()
        for (kind, reason), events in pipeline.malformed.items():
            malformed[f"type {kind}: {reason.name}"] = events
        log.info(
            "stopped",
            flows=self._ring.flows_seen,
            lost={kind.value: events for kind, events in pipeline.lost.items()},
            malformed=dict(malformed),
            refused=self._surroundings.refused,
            messages_dropped=self._ring.messages_dropped,
            hook_errors=self._hooks.errors(),
            not_recorded=event_file.events_lost if event_file is not None else 0,
            not_monitored=monitor.events_lost if monitor is not None else 0,
        )

    def _open_event_file(self, resources: contextlib.AsyncExitStack) -> EventFileWriter | None:
        if self._settings.record_events is None:
            return None
        writer = EventFileWriter(
            self._settings.record_events, self._settings.record_events_max_bytes
        )
        resources.callback(writer.close)
        return writer


def _check_not_own(cilium_socket: Path, settings: Settings) -> None:
    """Refuse to hear oneself: every event would come back, and come back again.

    Raises:
        SettingsError: it is so.
    """
    own = settings.monitor_socket if settings.monitor_clients_max else None
    if own is not None and cilium_socket.resolve() == own.resolve():
        raise SettingsError(
            f"cilium_socket and monitor_socket are both {own}: a daemon cannot be its own source, "
            "give another --monitor-socket or, by --monitor-clients-max 0, none"
        )


def _listen(monitor: MonitorServer) -> None:
    """Start the monitor socket; an error says which of the sockets it is about.

    Raises:
        OSError: it cannot be used.
    """
    try:
        monitor.start()
    except OSError as error:
        raise OSError(f"monitor_socket: {error}") from error


def _stop(stopping: asyncio.Future[None]) -> None:
    if not stopping.done():
        stopping.set_result(None)


def _fail(stopping: asyncio.Future[None], error: Exception) -> None:
    if not stopping.done():
        stopping.set_exception(error)
