"""The observer.Observer service on the ring: three streams of one kind, and ServerStatus.

GetFlows, GetAgentEvents and GetDebugEvents differ in what they select and how it is encoded, which
is what a `_Feed` says; where to start, when to stop, waiting and losses are the same code.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from palomar_proto.flow import flow_pb2
from palomar_proto.observer import observer_pb2
from palomar_server import __version__
from palomar_server.cursor import Cursor
from palomar_server.errors import Exhausted, InvalidRequest, Stopping
from palomar_server.filters.compiled import CompiledFilter, FilterLimits
from palomar_server.selection import FlowSelection, KindSelection
from palomar_server.table import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

    from palomar_server.cursor import Slice
    from palomar_server.encode import FlowEncoder
    from palomar_server.ring import Ring
    from palomar_server.selection import Selection
    from palomar_server.surroundings import Surroundings
    from palomar_server.waker import Waker

    _Request: TypeAlias = (
        observer_pb2.GetFlowsRequest
        | observer_pb2.GetAgentEventsRequest
        | observer_pb2.GetDebugEventsRequest
    )

_NS_PER_S = 1_000_000_000
_RATE_WINDOW_NS = 60 * _NS_PER_S
_TIME_MAX_NS = (1 << 64) - 1
_LATE_NS = 200_000_000
"""How long after its time an event may still come: twice the longest that the reader may wait."""


@dataclass(slots=True)
class RingLoss:
    """Events a stream lost to the writer, summed up to one notice per interval."""

    interval_ns: int
    events: int = 0
    first_ns: int = 0
    last_ns: int = 0
    _sent_ns: int | None = None

    def add(self, events: int, now_ns: int) -> None:
        """Count a loss."""
        if not self.events:
            self.first_ns = now_ns
        self.last_ns = now_ns
        self.events += events

    def due(self, now_ns: int) -> bool:
        """Whether a notice should be sent now."""
        # A clock that was set back must not silence the notices.
        waited = self._sent_ns is None or not 0 <= now_ns - self._sent_ns < self.interval_ns
        return self.events > 0 and waited

    def take(self, now_ns: int) -> bytes:
        """The serialised LostEvent of everything counted, and start anew."""
        event = flow_pb2.LostEvent(source=flow_pb2.HUBBLE_RING_BUFFER, num_events_lost=self.events)
        event.first.FromNanoseconds(self.first_ns)
        event.last.FromNanoseconds(self.last_ns)
        self.events = 0
        self._sent_ns = now_ns
        return event.SerializeToString()


class Audience(Protocol):
    """Is told who follows, so that events need be captured only while somebody does.

    Called on the loop's thread, which must not wait.
    """

    def acquire(self) -> None:
        """One more stream follows."""

    def release(self) -> None:
        """One stream that followed has ended."""


@dataclass(frozen=True, slots=True)
class _Feed:
    """What a stream delivers."""

    kind: Kind
    """What it is about: what a request's `number` counts."""
    selection: Selection
    encode: Callable[[Slice], Iterator[tuple[Kind, bytes]]]
    """Kind and serialised response of each row."""
    tells_losses: bool
    """Whether its responses have room for a loss notice."""


def _time_range(request: _Request) -> tuple[int | None, int | None]:
    """(since, until) in UTC ns within what a time column holds."""
    since = _clamped_ns(request.since) if request.HasField("since") else None
    until = _clamped_ns(request.until) if request.HasField("until") else None
    return since, until


def _clamped_ns(stamp: Timestamp) -> int:
    # Not ToNanoseconds, which refuses times that protobuf can carry but no calendar has.
    return min(max(stamp.seconds * _NS_PER_S + stamp.nanos, 0), _TIME_MAX_NS)


class Observer:
    """Answers observe requests from the ring.

    Args:
        ring: the events.
        encoder: makes responses of them.
        surroundings: what filters look into.
        waker: tells followers of new events.
        lost_event_interval_s: at most one notice per stream in this time.
        streams_max: streams served at once.
        filter_limits: what the filters of a request may cost.
        audience: is told of streams that follow.
        clock_ns: UTC ns.
    """

    def __init__(
        self,
        ring: Ring,
        encoder: FlowEncoder,
        surroundings: Surroundings,
        waker: Waker,
        *,
        lost_event_interval_s: float = 1.0,
        streams_max: int = 256,
        filter_limits: FilterLimits | None = None,
        audience: Audience | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._ring = ring
        self._encoder = encoder
        self._surroundings = surroundings
        self._waker = waker
        self._lost_event_interval_ns = int(lost_event_interval_s * _NS_PER_S)
        self._streams_max = streams_max
        self._clock_ns = clock_ns
        self._started_ns = clock_ns()
        self._filter_limits = filter_limits or FilterLimits()
        self._audience = audience
        self._stopping = False
        self.streams = 0
        """Streams being served."""

    def get_flows(self, request: observer_pb2.GetFlowsRequest) -> AsyncGenerator[bytes, None]:
        """Serve GetFlows; whoever does not read to the end closes the generator.

        Yields:
            Serialised GetFlowsResponse messages.

        Raises:
            RequestError: before the first response, where the request cannot be served.
            Stopping: while following, when the server ends.
        """
        return self._serve(request, lambda: self._flow_feed(request))

    def get_agent_events(
        self, request: observer_pb2.GetAgentEventsRequest
    ) -> AsyncGenerator[bytes, None]:
        """Serve GetAgentEvents, otherwise like `get_flows`; losses have no place in its responses.

        Yields:
            Serialised GetAgentEventsResponse messages.
        """
        return self._serve(request, lambda: self._event_feed(Kind.AGENT))

    def get_debug_events(
        self, request: observer_pb2.GetDebugEventsRequest
    ) -> AsyncGenerator[bytes, None]:
        """Serve GetDebugEvents, otherwise like `get_flows`; losses have no place in its responses.

        Yields:
            Serialised GetDebugEventsResponse messages.
        """
        return self._serve(request, lambda: self._event_feed(Kind.DEBUG))

    def _flow_feed(self, request: observer_pb2.GetFlowsRequest) -> _Feed:
        matching = CompiledFilter(
            request.whitelist, request.blacklist, self._surroundings, self._filter_limits
        )
        mask = request.field_mask if request.HasField("field_mask") else None
        if mask is not None and not mask.IsValidForDescriptor(flow_pb2.Flow.DESCRIPTOR):
            raise InvalidRequest("field_mask", list(mask.paths), "has a path that Flow lacks")
        responses = self._encoder.responses(mask)
        return _Feed(
            Kind.FLOW,
            FlowSelection(matching),
            lambda found: responses.encode(found.rows, found.sequences, found.messages.__getitem__),
            tells_losses=True,
        )

    def _event_feed(self, kind: Kind) -> _Feed:
        def encode(found: Slice) -> Iterator[tuple[Kind, bytes]]:
            for sequence, time_ns in zip(
                found.sequences, found.rows["time_ns"].tolist(), strict=True
            ):
                yield kind, self._encoder.event_response(found.messages[sequence], time_ns)

        return _Feed(kind, KindSelection(kind), encode, tells_losses=False)

    async def _serve(
        self, request: _Request, make_feed: Callable[[], _Feed]
    ) -> AsyncGenerator[bytes, None]:
        if self._stopping:
            raise Stopping
        # Before anything that costs time.
        if self.streams >= self._streams_max:
            raise Exhausted(f"{self._streams_max} streams are open, which is streams_max")
        if request.first and request.follow:
            raise InvalidRequest("first", "true", "cannot be specified with follow")
        feed = make_feed()
        cursor = self._cursor(request, feed.selection)
        audience = self._audience if request.follow else None
        self.streams += 1
        if audience is not None:
            audience.acquire()
        try:
            async for response in self._stream(request, cursor, feed):
                yield response
        finally:
            self.streams -= 1
            if audience is not None:
                audience.release()

    def _cursor(self, request: _Request, selection: Selection) -> Cursor:
        """Where to start, after Hubble's rules: `since` decides, else `first`, else look back."""
        since, until = _time_range(request)
        cursor = Cursor(self._ring, selection, self._ring.next, since_ns=since, until_ns=until)
        if request.first or since is not None or (not request.number and not request.follow):
            cursor.position = self._ring.oldest
        elif request.number:
            cursor.rewind(request.number)
        return cursor

    async def _stream(self, request: _Request, cursor: Cursor, feed: _Feed) -> AsyncIterator[bytes]:
        end = self._ring.next
        # While following, `number` only says how far to look back.
        left = request.number if request.number and not request.follow else None
        loss = RingLoss(self._lost_event_interval_ns)
        until = _time_range(request)[1]
        while True:
            for kind, response in self._drain(cursor, end, loss, feed):
                yield response
                if left is not None and kind == feed.kind:
                    left -= 1
                    if not left:
                        break
            if not request.follow or (until is not None and self._clock_ns() > until + _LATE_NS):
                break
            await self._wait(cursor, loss, until)
            if self._stopping:
                if loss.events:
                    yield self._lost(loss)[1]
                raise Stopping
            end = self._ring.next
        if loss.events:
            yield self._lost(loss)[1]

    def _drain(
        self, cursor: Cursor, end: int, loss: RingLoss, feed: _Feed
    ) -> Iterator[tuple[Kind, bytes]]:
        """Everything selected up to `end`, with a loss notice in front when one is due.

        A slice is encoded while its consumer sends: a slow one leaves the rest in the ring, where
        it may be overwritten, rather than in a queue.
        """
        while True:
            found = cursor.read(end) if cursor.position < end else None
            if found is not None and found.lost and feed.tells_losses:
                loss.add(found.lost, self._clock_ns())
            if loss.due(self._clock_ns()):
                yield self._lost(loss)
            if found is None:
                return
            yield from feed.encode(found)

    def _lost(self, loss: RingLoss) -> tuple[Kind, bytes]:
        now_ns = self._clock_ns()
        return Kind.LOST, self._encoder.lost_response(loss.take(now_ns), now_ns)

    async def _wait(self, cursor: Cursor, loss: RingLoss, until_ns: int | None) -> None:
        """Wait for events, for a loss notice to fall due, or for the end of the time asked for."""
        waits_s = [self._lost_event_interval_ns / _NS_PER_S] if loss.events else []
        if until_ns is not None:
            waits_s.append(max(0.0, (until_ns + _LATE_NS - self._clock_ns()) / _NS_PER_S) + 0.001)
        await self._waker.wait(
            lambda: self._stopping or self._ring.next > cursor.position,
            min(waits_s) if waits_s else None,
        )

    def stop(self) -> None:
        """End the streams that wait for events, and those that would: with UNAVAILABLE."""
        self._stopping = True
        self._waker.notify()

    def status(self) -> observer_pb2.ServerStatusResponse:
        """Serve ServerStatus."""
        return observer_pb2.ServerStatusResponse(
            num_flows=len(self._ring),
            max_flows=self._ring.capacity,
            seen_flows=self._ring.flows_seen,
            # The wall clock may have been set back since.
            uptime_ns=max(0, self._clock_ns() - self._started_ns),
            flows_rate=self._flows_rate(),
            version=f"palomar v{__version__}",
        )

    def _flows_rate(self) -> float:
        """Flows a second in the last minute, or over the ring's span where that is shorter."""
        now_ns = self._clock_ns()
        recent, oldest_ns = 0, now_ns
        for _, rows in self._ring.spans(self._ring.oldest, self._ring.next):
            times, flows = rows["time_ns"], rows["kind"] == Kind.FLOW
            recent += int(np.count_nonzero(flows & (times >= now_ns - _RATE_WINDOW_NS)))
            oldest_ns = min(oldest_ns, int(times.min()))
        span_ns = now_ns - oldest_ns
        if not 0 < span_ns < _RATE_WINDOW_NS:
            span_ns = _RATE_WINDOW_NS
        return recent * _NS_PER_S / span_ns
