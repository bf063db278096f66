"""Everything that palomard answers by gRPC, put together from the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palomar_proto.palomar.v1 import flow_batches_pb2, queries_pb2
from palomar_recorder.storage import Storage
from palomar_server.catalogue.catalogue import Catalogue
from palomar_server.explain.explainer import Explainer
from palomar_server.filters.compiled import FilterLimits
from palomar_server.flow_batches import BatchLimits, FlowBatches
from palomar_server.grpc_connection import ConnectionLimits
from palomar_server.grpc_server import GrpcServer
from palomar_server.grpc_service import Service
from palomar_server.observer import Observer
from palomar_server.observer_service import observer_service
from palomar_server.queries import Queries
from palomar_server.query_limits import QueryLimits
from palomar_server.recording.recorder import Recorder
from palomar_server.recording.recorder_service import RecorderService
from palomar_server.recording.recordings_service import RecordingsService
from palomar_server.seen_namespaces import SeenNamespaces
from palomar_server.streams import Streams

if TYPE_CHECKING:
    from palomar_server.encode import FlowEncoder
    from palomar_server.hooks import Hooks
    from palomar_server.ring import Ring
    from palomar_server.settings import Settings
    from palomar_server.streams import Audience
    from palomar_server.surroundings import Surroundings
    from palomar_server.waker import Waker

_CALLS_MAX = 4_096
"""Calls under way at once: each is a task and what its client has not finished to ask."""
_NAMESPACES_HOOK = "palomar.namespaces"


class Api:
    """What the services share: made before the users' hooks are loaded, and served later.

    Args:
        settings: limits, and where to listen.
        ring: the events.
        encoder: makes messages of them.
        surroundings: what rows refer to.
        hooks: those on requests and deliveries; one of ours joins it, before the users'.
        node_name: of this node, as cluster/node.
    """

    def __init__(
        self,
        settings: Settings,
        ring: Ring,
        encoder: FlowEncoder,
        surroundings: Surroundings,
        *,
        hooks: Hooks,
        node_name: str,
    ) -> None:
        self._settings = settings
        self._ring = ring
        self._encoder = encoder
        self._surroundings = surroundings
        self._hooks = hooks
        self._node_name = node_name
        self._filter_limits = FilterLimits(
            filters_max=settings.filters_max,
            values_max=settings.filter_values_max,
            expressions_max=settings.filter_expressions_max,
            patterns_max=settings.filter_patterns_max,
        )
        self._namespaces = SeenNamespaces(surroundings.endpoints)
        hooks.register(self._namespaces, _NAMESPACES_HOOK)

    def observer(self, waker: Waker, audience: Audience) -> Observer:
        """The streams of flows and events.

        Args:
            waker: tells of new events.
            audience: is told who follows.
        """
        settings = self._settings
        return Observer(
            self._ring,
            self._encoder,
            self._surroundings,
            waker,
            hooks=self._hooks,
            streams=Streams(
                streams_max=settings.streams_max,
                streams_max_per_peer=settings.streams_max_per_peer,
                audience=audience,
            ),
            namespaces=self._namespaces,
            lost_event_interval_s=settings.lost_event_interval_s,
            filter_limits=self._filter_limits,
        )

    def recorder(self) -> Recorder:
        """What records packets, once its sessions are connected to what gives some."""
        settings = self._settings
        return Recorder(
            settings,
            Storage(
                settings.recordings_directory,
                max_bytes=settings.recordings_max_bytes,
                free_min_bytes=settings.recordings_free_min_bytes,
                file_max_bytes=settings.recording_max_bytes,
            ),
            Catalogue(settings.database_url),
            hooks=self._hooks,
            surroundings=self._surroundings,
            encoder=self._encoder,
            filter_limits=self._filter_limits,
            node_name=self._node_name,
        )

    def server(
        self, observer: Observer, waker: Waker, recorder: Recorder | None = None
    ) -> GrpcServer:
        """All services behind their sockets, not started yet.

        Args:
            observer: the streams of flows and events.
            waker: tells of new events.
            recorder: the recordings; without it there are no services of them.
        """
        settings = self._settings
        services = [observer_service(observer), self._batches(observer, waker), self._queries()]
        if recorder is not None:
            services += [
                RecordingsService(recorder, observer.streams).service(),
                RecorderService(recorder, observer.streams).service(),
            ]
        return GrpcServer(
            services,
            socket=settings.socket,
            socket_mode=settings.socket_mode,
            listen=settings.listen,
            connections_max=settings.clients_max,
            connections_per_peer_max=settings.clients_max_per_peer,
            # Streams are limited by settings; these only must not come before.
            calls_max=max(_CALLS_MAX, 2 * settings.streams_max),
            limits=ConnectionLimits(
                streams_max=max(_CALLS_MAX // 2, settings.streams_max_per_peer),
                request_timeout_s=settings.request_timeout_s,
            ),
        )

    def _batches(self, observer: Observer, waker: Waker) -> Service:
        settings = self._settings
        batches = FlowBatches(
            observer,
            self._ring,
            self._encoder,
            waker,
            node_name=self._node_name,
            limits=BatchLimits(
                responses_max=settings.batch_responses_max,
                bytes_max=settings.batch_bytes_max,
                delay_max_s=settings.batch_delay_max_s,
            ),
        )
        return Service(
            flow_batches_pb2.DESCRIPTOR.services_by_name["FlowBatches"],
            {"GetFlowBatches": batches.get_flow_batches},
        )

    def _queries(self) -> Service:
        build = self._hooks.build_filter
        explainer = Explainer(
            self._ring,
            self._encoder,
            self._surroundings,
            filter_limits=self._filter_limits,
            build=build.run if len(build) else None,
            permit=self._hooks.get_flows.run,
        )
        queries = Queries(
            self._ring,
            self._encoder,
            self._surroundings,
            explainer=explainer,
            hooks=self._hooks,
            filter_limits=self._filter_limits,
            limits=QueryLimits(queries_max=self._settings.queries_max),
        )
        return Service(
            queries_pb2.DESCRIPTOR.services_by_name["Queries"],
            {
                "FilterHints": queries.filter_hints,
                "Summarize": queries.summarize,
                "Explain": queries.explain,
            },
        )
