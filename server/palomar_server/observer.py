"""The observer.Observer service on the ring.

GetFlows, GetAgentEvents and GetDebugEvents are one kind of stream: a `Reading`, whose portions are
made into lists of responses. What they differ in is what they select and how it is encoded.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server import __version__
from palomar_server.errors import InvalidRequest, Unsupported
from palomar_server.filters.compiled import CompiledFilter, FilterLimits
from palomar_server.flow_delivery import FlowDelivery
from palomar_server.flow_rate import flows_rate
from palomar_server.followers import Followers
from palomar_server.hooks import FlowStream, Hooks
from palomar_server.peer import OWN
from palomar_server.reading import Reading, Wanted, check_start
from palomar_server.response_lists import response_lists
from palomar_server.selection import FlowSelection, KindSelection
from palomar_server.streams import Streams
from palomar_server.table import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from palomar_server.encode import FlowEncoder
    from palomar_server.peer import Peer
    from palomar_server.reading import EventsRequest, Portion
    from palomar_server.ring import Ring
    from palomar_server.seen_namespaces import SeenNamespaces
    from palomar_server.surroundings import Surroundings
    from palomar_server.waker import Waker

_NS_PER_S = 1_000_000_000


class Observer:
    """Answers observe requests from the ring.

    Args:
        ring: the events.
        encoder: makes responses of them.
        surroundings: what filters look into.
        waker: tells followers of new events.
        hooks: the chains of requests, filters and deliveries.
        streams: lets streams in.
        namespaces: those seen; without it none are told.
        lost_event_interval_s: at most one notice per stream in this time.
        filter_limits: what the filters of a request may cost.
        clock_ns: UTC ns.
    """

    def __init__(
        self,
        ring: Ring,
        encoder: FlowEncoder,
        surroundings: Surroundings,
        waker: Waker,
        *,
        hooks: Hooks | None = None,
        streams: Streams | None = None,
        namespaces: SeenNamespaces | None = None,
        lost_event_interval_s: float = 1.0,
        filter_limits: FilterLimits | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._ring = ring
        self._encoder = encoder
        self._surroundings = surroundings
        self._waker = waker
        self._hooks = hooks if hooks is not None else Hooks()
        self._namespaces = namespaces
        self._lost_interval_ns = int(lost_event_interval_s * _NS_PER_S)
        self._filter_limits = filter_limits or FilterLimits()
        self._clock_ns = clock_ns
        self._started_ns = clock_ns()
        self.streams = streams if streams is not None else Streams()
        """The streams being served; services beside this one let theirs in here too."""
        self.followers = Followers(ring, encoder, waker)
        """Those that wait for events."""

    async def get_flows(
        self, request: observer_pb2.GetFlowsRequest, peer: Peer = OWN
    ) -> AsyncGenerator[list[bytes], None]:
        """Serve GetFlows; whoever does not read to the end closes the generator.

        Yields:
            Serialised GetFlowsResponse messages, some at a time.

        Raises:
            RequestError: before the first response, where the request cannot be served.
            Stopping: while following, when the server ends.
        """
        with self.open_flows(request, peer) as delivery:
            async for portion in delivery.portions():
                for responses in response_lists(delivery.responses(portion)):
                    yield responses

    @contextmanager
    def open_flows(
        self,
        request: observer_pb2.GetFlowsRequest,
        peer: Peer,
        *,
        position: int | None = None,
        lost_interval_ns: int | None = None,
    ) -> Iterator[FlowDelivery]:
        """What a request for flows is to be given, until the context ends.

        Args:
            request: as it came.
            peer: who asks.
            position: go on from this sequence number instead of looking back.
            lost_interval_ns: how often a loss is told at most; None is as for GetFlows.

        Raises:
            RequestError: the request cannot be served.
        """
        # Before anything that costs time.
        with self.streams.admitted(peer):
            request = self._hooks.get_flows.run(request, peer)
            # What is wrong is told in Hubble's order: filters come before times and mask.
            check_start(request)
            matching = CompiledFilter(
                request.whitelist,
                request.blacklist,
                self._surroundings,
                self._encoder,
                limits=self._filter_limits,
                build=self._hooks.build_filter.run if len(self._hooks.build_filter) else None,
            )
            wanted = Wanted.of(request, position)
            encoder = self._encoder.responses(_valid_mask(request))
            reading = Reading(
                self._ring,
                FlowSelection(matching),
                wanted,
                self._encoder,
                self.followers,
                group=_filters_key(request),
                lost_interval_ns=(
                    self._lost_interval_ns if lost_interval_ns is None else lost_interval_ns
                ),
                clock_ns=self._clock_ns,
            )
            try:
                with self.streams.heard(follow=wanted.follow):
                    yield FlowDelivery(
                        reading, encoder, self._encoder, self._hooks, FlowStream(request, peer)
                    )
            finally:
                reading.close()

    def get_agent_events(
        self, request: observer_pb2.GetAgentEventsRequest, peer: Peer = OWN
    ) -> AsyncGenerator[list[bytes], None]:
        """Serve GetAgentEvents, otherwise like `get_flows`; losses have no place in its responses.

        Yields:
            Serialised GetAgentEventsResponse messages, some at a time.
        """
        return self._events(request, peer, Kind.AGENT)

    def get_debug_events(
        self, request: observer_pb2.GetDebugEventsRequest, peer: Peer = OWN
    ) -> AsyncGenerator[list[bytes], None]:
        """Serve GetDebugEvents, otherwise like `get_flows`; losses have no place in its responses.

        Yields:
            Serialised GetDebugEventsResponse messages, some at a time.
        """
        return self._events(request, peer, Kind.DEBUG)

    async def _events(
        self, request: EventsRequest, peer: Peer, kind: Kind
    ) -> AsyncGenerator[list[bytes], None]:
        with self.streams.admitted(peer):
            reading = Reading(
                self._ring,
                KindSelection(kind),
                Wanted.of(request),
                self._encoder,
                self.followers,
                group=kind,
                clock_ns=self._clock_ns,
            )
            try:
                with self.streams.heard(follow=request.follow):
                    async for portion in reading.portions():
                        for responses in response_lists(self._event_responses(portion)):
                            yield responses
            finally:
                reading.close()

    def _event_responses(self, portion: Portion) -> list[bytes]:
        times_ns = portion.rows["time_ns"].tolist()
        return portion.once(
            "responses",
            lambda: [
                self._encoder.event_response(portion.messages[sequence], time_ns)
                for sequence, time_ns in zip(portion.sequences, times_ns, strict=True)
            ],
        )

    def stop(self) -> None:
        """End the streams that wait for events, and those that would: with UNAVAILABLE."""
        self.streams.stopping = True
        self.followers.stop()

    def server_status(
        self, _request: observer_pb2.ServerStatusRequest, _peer: Peer = OWN
    ) -> observer_pb2.ServerStatusResponse:
        """Serve ServerStatus."""
        now_ns = self._clock_ns()
        return observer_pb2.ServerStatusResponse(
            num_flows=len(self._ring),
            max_flows=self._ring.capacity,
            seen_flows=self._ring.flows_seen,
            # The wall clock may have been set back since.
            uptime_ns=max(0, now_ns - self._started_ns),
            flows_rate=flows_rate(self._ring, now_ns),
            version=f"palomar v{__version__}",
        )

    def get_namespaces(
        self, _request: observer_pb2.GetNamespacesRequest, _peer: Peer = OWN
    ) -> observer_pb2.GetNamespacesResponse:
        """Serve GetNamespaces: those of flows in the last hour, all of this node's cluster."""
        response = observer_pb2.GetNamespacesResponse()
        cluster, slash, _ = self._encoder.node_name.partition("/")
        for name in self._namespaces.namespaces() if self._namespaces is not None else ():
            response.namespaces.add(cluster=cluster if slash else "", namespace=name)
        return response

    def get_nodes(
        self, _request: observer_pb2.GetNodesRequest, _peer: Peer = OWN
    ) -> observer_pb2.GetNodesResponse:
        """Refuse GetNodes, as Hubble does: a node knows of no others.

        Raises:
            Unsupported: always.
        """
        raise Unsupported("GetNodes is answered by a relay; this is a single node")


def _filters_key(request: observer_pb2.GetFlowsRequest) -> tuple[tuple[bytes, ...], ...]:
    """Equal for requests whose filters are equal."""
    allowed, denied = (
        tuple(one.SerializeToString(deterministic=True) for one in filters)
        for filters in (request.whitelist, request.blacklist)
    )
    return allowed, denied


def _valid_mask(request: observer_pb2.GetFlowsRequest) -> FieldMask | None:
    """The request's field mask; clients of Hubble before 1.17 have it in `experimental`.

    Raises:
        InvalidRequest: it has a path that a flow lacks, or cannot be read.
    """
    mask = request.field_mask if request.field_mask.paths else None
    if mask is None and request.HasField("experimental"):
        for unknown in UnknownFieldSet(request.experimental):  # type: ignore[attr-defined]  # the stubs lack what makes it a sequence
            if (unknown.field_number, unknown.wire_type) == _FIELD_MASK_BEFORE:
                mask = _mask_of(unknown.data)
    if mask is not None and not mask.IsValidForDescriptor(flow_pb2.Flow.DESCRIPTOR):
        raise InvalidRequest("field_mask", list(mask.paths), "has a path that Flow lacks")
    return mask


def _mask_of(content: bytes) -> FieldMask:
    try:
        return FieldMask.FromString(content)
    except DecodeError as error:
        raise InvalidRequest("experimental.field_mask", content, "cannot be read") from error


_FIELD_MASK_BEFORE = (1, 2)
"""Field number and wire type of `experimental.field_mask`, which is reserved now."""
