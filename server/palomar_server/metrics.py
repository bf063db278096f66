"""Metrics in the terms of Prometheus, read from the daemon's own counters when they are scraped.

Counting costs the paths of events nothing: parts of the daemon count anyway, for the log and for
clients, and a scrape looks at what they have. Each `Metrics` has a registry of its own. Hooks add
collectors to it through `hooks.Server.register_collector`.

Counters belong to other threads; a scrape may see one of them before another of the same event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from palomar_bpf.batch import LossKind
from palomar_bpf.payload import MessageType
from palomar_server import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from palomar_server.event_file import EventFileWriter
    from palomar_server.followers import Followers
    from palomar_server.grpc_server import GrpcServer
    from palomar_server.hooks import Hooks
    from palomar_server.monitor_socket import MonitorServer
    from palomar_server.pipeline import Pipeline
    from palomar_server.recording.dispatcher import Dispatcher
    from palomar_server.recording.sessions import Sessions
    from palomar_server.ring import Ring
    from palomar_server.streams import Streams
    from palomar_server.surroundings import Surroundings

_NS_PER_S = 1_000_000_000
_HOOK_LABELS = ("point", "hook")


class Metrics:
    """A registry, and the parts of the daemon that are read into it.

    Args:
        process: also tell what the process takes: CPU time, memory, descriptors, collections.
    """

    def __init__(self, *, process: bool = True) -> None:
        self.registry = CollectorRegistry()
        """For collectors of one's own, and for whoever serves it."""
        if process:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)
        self._add(
            lambda: [
                InfoMetricFamily("palomar_build", "Version of palomard.", {"version": __version__})
            ]
        )

    def text(self) -> bytes:
        """Everything, in the text format 0.0.4 of Prometheus."""
        return generate_latest(self.registry)

    def add_ring(self, ring: Ring) -> None:
        """Events and flows that were kept, and how far back the ring reaches."""

        def read() -> list[Metric]:
            return [
                _counter("palomar_events", "Events of all kinds written to the ring.", ring.next),
                _counter("palomar_flows", "Flows written to the ring.", ring.flows_seen),
                _gauge("palomar_ring_events", "Events in the ring.", len(ring)),
                _gauge("palomar_ring_capacity_events", "Events it has room for.", ring.capacity),
                _gauge(
                    "palomar_ring_oldest_event_timestamp_seconds",
                    "Time of the oldest event in the ring, Unix time; 0 while it is empty.",
                    _oldest_ns(ring) / _NS_PER_S,
                ),
                _counter(
                    "palomar_ring_messages_dropped",
                    "Records of applications that made room in memory before their events.",
                    ring.messages_dropped,
                ),
            ]

        self._add(read)

    def add_pipeline(self, pipeline: Pipeline) -> None:
        """Events lost on their way here, and payloads that could not be decoded."""

        def read() -> list[Metric]:
            lost, malformed = dict(pipeline.lost), dict(pipeline.malformed)
            return [
                _counters(
                    "palomar_lost_events",
                    "Events lost before they were decoded; of source_gap, gaps of unknown size.",
                    ("stage",),
                    {(stage.value,): lost.get(stage, 0) for stage in LossKind},
                ),
                _counters(
                    "palomar_malformed_payloads",
                    "Payloads that could not be decoded.",
                    ("type", "reason"),
                    {
                        (_type_name(number), reason.name.lower()): payloads
                        for (number, reason), payloads in sorted(malformed.items())
                    },
                ),
            ]

        self._add(read)

    def add_surroundings(self, surroundings: Surroundings) -> None:
        """Tables that give events their names."""

        def read() -> list[Metric]:
            return [
                _gauge(
                    "palomar_endpoint_rows",
                    "Rows of the endpoint table, with those kept for older flows.",
                    len(surroundings.endpoints) - 1,
                ),
                _counters(
                    "palomar_table_refused_entries",
                    "Entries for which a table had no room.",
                    ("table",),
                    {
                        (table.replace(" ", "_"),): entries
                        for table, entries in surroundings.refused.items()
                    },
                ),
            ]

        self._add(read)

    def add_hooks(self, hooks: Hooks) -> None:
        """What each hook costs and does at each point where it is called."""

        def read() -> list[Metric]:
            figures = hooks.figures()
            return [
                _counters(
                    f"palomar_hook_{name}",
                    documentation,
                    _HOOK_LABELS,
                    {key: getattr(one, attribute) for key, one in figures.items()},
                )
                for name, attribute, documentation in (
                    ("seconds", "seconds", "Time spent in a hook, by the clock on the wall."),
                    ("calls", "calls", "Calls of a hook."),
                    ("rows", "rows", "Rows that a hook was asked about."),
                    ("stopped", "stopped", "Rows that a hook stopped, requests that it refused."),
                    ("errors", "errors", "Exceptions of a hook."),
                    ("overruns", "overruns", "Calls of a hook that took longer than its budget."),
                )
            ]

        self._add(read)

    def add_streams(self, streams: Streams, followers: Followers) -> None:
        """Streams of the observer."""

        def read() -> list[Metric]:
            return [
                _gauge("palomar_streams", "Streams served now.", len(streams)),
                _gauge(
                    "palomar_streams_limit", "Streams that may be served at once.", streams.limit
                ),
                _counter(
                    "palomar_streams_refused", "Streams refused for want of room.", streams.refused
                ),
                _counter(
                    "palomar_streams_lost_events",
                    "Events overwritten before a stream had looked at them; all streams together.",
                    followers.events_lost,
                ),
            ]

        self._add(read)

    def add_grpc(self, server: GrpcServer) -> None:
        """Connections and calls of gRPC."""

        def read() -> list[Metric]:
            return [
                _gauge("palomar_grpc_connections", "Clients connected.", server.connections),
                _counter(
                    "palomar_grpc_connections_refused",
                    "Connections for which there was no room.",
                    server.refused,
                ),
                _gauge("palomar_grpc_calls", "Calls under way.", server.calls),
                _counter(
                    "palomar_grpc_calls_refused",
                    "Calls for which there was no room.",
                    server.calls_refused,
                ),
                _counter(
                    "palomar_grpc_protocol_violations",
                    "Connections cut because the client broke the protocol.",
                    server.violations,
                ),
            ]

        self._add(read)

    def add_monitor(self, monitor: MonitorServer) -> None:
        """Clients of the monitor socket."""

        def read() -> list[Metric]:
            return [
                _gauge("palomar_monitor_clients", "Monitor clients connected.", monitor.clients),
                _counter(
                    "palomar_monitor_clients_refused",
                    "Monitor clients for which there was no room.",
                    monitor.refused,
                ),
                _counter(
                    "palomar_monitor_lost_events",
                    "Events that monitor clients did not get, of all that have gone; each is told "
                    "of its own.",
                    monitor.events_lost,
                ),
            ]

        self._add(read)

    def add_event_file(self, event_file: EventFileWriter) -> None:
        """Events that are recorded for replay."""

        def read() -> list[Metric]:
            return [
                _counter(
                    "palomar_event_file_events", "Events recorded.", event_file.events_written
                ),
                _counter(
                    "palomar_event_file_lost_events",
                    "Events that came after their file was full.",
                    event_file.events_lost,
                ),
                _gauge("palomar_event_file_bytes", "Size of their file.", event_file.size_bytes),
            ]

        self._add(read)

    def add_recordings(self, sessions: Sessions) -> None:
        """Recordings of packets, and what became of what they select."""

        def read() -> list[Metric]:
            counts = sessions.counts
            return [
                _gauge("palomar_recordings", "Recordings of packets under way.", len(sessions)),
                _gauge(
                    "palomar_recordings_limit",
                    "Recordings that may be under way at once.",
                    sessions.limit,
                ),
                _counter(
                    "palomar_recordings_refused",
                    "Recordings refused for want of room.",
                    sessions.refused,
                ),
                _counters(
                    "palomar_recordings_ended",
                    "Recordings that ended, by what ended them.",
                    ("end",),
                    {(end,): ended for end, ended in sorted(sessions.ends.items())},
                ),
                _counters(
                    "palomar_recording_packets",
                    "Packets of all recordings, by what became of them.",
                    ("stage",),
                    {(stage,): packets for stage, (packets, _) in counts.items()},
                ),
                _counters(
                    "palomar_recording_bytes",
                    "Captured bytes of these packets.",
                    ("stage",),
                    {(stage,): size for stage, (_, size) in counts.items()},
                ),
                _gauge(
                    "palomar_recording_file_bytes",
                    "Size of the files that are being recorded.",
                    sessions.file_bytes,
                ),
            ]

        self._add(read)

    def add_flight_recorder(self, dispatcher: Dispatcher) -> None:
        """What the flight recorder lacks."""

        def read() -> list[Metric]:
            return [
                _counter(
                    "palomar_flight_recorder_lost_packets",
                    "Packets that the flight recorder lacks, as the perf ring was full.",
                    dispatcher.flight_lost.packets,
                )
            ]

        self._add(read)

    def _add(self, read: Callable[[], Iterable[Metric]]) -> None:
        self.registry.register(_Reading(read))


class _Reading(Collector):
    """Asks a part of the daemon for its figures when it is scraped, and for their names at once."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()

    def describe(self) -> Iterable[Metric]:
        """By these the registry knows names that are taken."""
        return self._read()


def _counter(name: str, documentation: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, documentation, value)


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value)


def _counters(
    name: str,
    documentation: str,
    labels: Sequence[str],
    values: Mapping[tuple[str, ...], float],
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _type_name(number: int) -> str:
    """A message type as in `palomar monitor`, or its number where it has no name."""
    return MessageType(number).name.lower() if number in set(MessageType) else str(number)


def _oldest_ns(ring: Ring) -> int:
    """Time of the oldest event, read beside the writer, UTC ns."""
    time_ns = ring.oldest_time_ns
    for _ in range(3):
        oldest = ring.oldest
        time_ns = ring.oldest_time_ns
        if ring.oldest == oldest:
            break
    return time_ns
